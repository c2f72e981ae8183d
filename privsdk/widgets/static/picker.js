// The party picker: parties, their tables, their columns with what is permitted for a chosen use, and the code for it.
// What a column allows is worked out here, from what the parties said, so that a choice shows at once while a cell runs.

const TRAITS = ["use", "chosen", "columns", "_taken", "_parties", "_uses", "_name", "_ended", "_caller", "_purpose", "_again_s"];
const EXAMPLE_EPSILON = 0.1; // of a grant that has to name one

export default {
  render({ model, el }) {
    const own = `privsdk-${Math.random().toString(36).slice(2, 8)}`;
    const stops = { why: new Set() }; // of each list, where Tab enters it; of columns, whose reasons are open
    const state = () => Object.fromEntries(TRAITS.map((trait) => [trait, model.get(trait)]));
    const set = (changes) => {
      for (const [trait, value] of Object.entries(changes)) model.set(trait, value);
      model.save_changes();
    };
    return drawing(model, el, TRAITS, () => {
      const now = understood(state());
      return [
        heading(now),
        question(now, own, set),
        h("div", { class: "privsdk-pair" }, h("div", {}, partyList(now, own, set, stops)), h("div", {}, columnList(now, own, set, stops))),
        outcome(now, own),
      ];
    });
  },
};

/** The state, with what follows from it: the tables of the chosen parties, and every column in them. */
function understood(state) {
  const use = state._uses.find((each) => each.name === state.use) ?? null;
  const held = state._parties
    .filter((party) => state.chosen[party.name])
    .map((party) => ({ party, table: party.tables.find((table) => table.name === state.chosen[party.name]) }))
    .filter(({ table }) => table);
  const names = [...new Set(held.flatMap(({ table }) => table.columns.map((column) => column.name)))];
  return { ...state, use, held, names, ours: state._parties.filter((party) => party.name in state.chosen) };
}

function heading(now) {
  return [
    h("h3", {}, "Choose parties, tables and columns"),
    now._ended
      ? h("p", { class: "privsdk-note privsdk-bad", role: "status" }, "This federation is closed: what is chosen here no longer works. Open it anew.")
      : h("p", { class: "privsdk-quiet" }, `You are ${now._caller}, asking for ${now._purpose}. Looking costs nothing.`),
  ];
}

function question(now, own, set) {
  const options = [{ name: "", label: "look around: all that is permitted" }, ...now._uses];
  return [
    h("p", {},
      h("label", { for: `${own}-use`, class: "privsdk-label" }, "What do you want to do?"),
      h("select", { id: `${own}-use`, onchange: (event) => set({ use: event.target.value }) },
        options.map(({ name, label }) => h("option", { value: name, selected: name === (now.use?.name ?? "") }, label)))),
    h("p", { class: "privsdk-quiet" }, now.use ? now.use.about : "Choose something to do, and columns that do not allow it are greyed out."),
  ];
}

// Parties

function partyList(now, own, set, stops) {
  const reachable = now._parties.filter((party) => party.reachable);
  const all = reachable.every((party) => party.name in now.chosen);
  const change = () => {
    const kept = Object.fromEntries(Object.entries(now.chosen).filter(([name]) => !reachable.some((party) => party.name === name)));
    set({ chosen: all ? kept : reachable.reduce((chosen, party) => withParty(chosen, party), now.chosen) });
  };
  const stop = now._parties.some((party) => party.name === stops.parties) ? stops.parties : now._parties[0]?.name;
  return h("section", { "aria-labelledby": `${own}-parties` },
    h("div", { class: "privsdk-bar" },
      h("h4", { id: `${own}-parties` }, "Parties"),
      h("button", { class: "privsdk-small", disabled: !reachable.length, onclick: change }, all && reachable.length ? "none" : "all that answer")),
    h("ul", { class: "privsdk-list", onkeydown: (event) => moving(event) },
      now._parties.map((party, at) => partyItem(now, party, `${own}-party-${at}`, set, stops, stop))),
    now._parties.length === 0 && h("p", {}, "Asking the parties ..."));
}

function partyItem(now, party, id, set, stops, stop) {
  const chosen = party.name in now.chosen;
  const barred = !party.reachable && !chosen;
  const toggle = (event) => {
    if (barred) return event.preventDefault();
    set({ chosen: chosen ? without(now.chosen, party.name) : withParty(now.chosen, party) });
  };
  return h("li", { "data-key": party.name, class: barred ? "privsdk-off" : "" },
    h("label", {},
      h("input", {
        type: "checkbox", checked: chosen, "data-stop": true, tabindex: party.name === stop ? 0 : -1,
        "aria-disabled": barred ? "true" : null, "aria-describedby": `${id}-state`,
        onclick: toggle, onfocus: () => { stops.parties = party.name; },
      }),
      h("span", { class: "privsdk-name" }, party.name),
      party.title && h("bdi", { class: "privsdk-quiet" }, ` (${party.title})`)),
    h("span", { id: `${id}-state`, class: "privsdk-state" },
      h("span", { class: now._ended ? "privsdk-quiet" : party.reachable ? "privsdk-good" : "privsdk-bad" },
        now._ended ? "closed" : party.reachable ? "answers" : "cannot be reached"),
      !party.reachable && !now._ended && h("span", { class: "privsdk-quiet privsdk-hint" }, `asked again every ${now._again_s} s, on its own`)),
    party.reachable && tableChoice(now, party, chosen, set),
    warnings(now, party).map((text) => h("p", { class: "privsdk-warn privsdk-hint" }, text)));
}

function tableChoice(now, party, chosen, set) {
  if (!party.tables.length) return h("p", { class: "privsdk-quiet privsdk-hint" }, "no tables: can hold keys or coordinate");
  const facts = (table) => `${table.name} · ${table.columns.length} column${table.columns.length === 1 ? "" : "s"}`;
  if (party.tables.length === 1) return h("p", { class: "privsdk-quiet privsdk-hint" }, facts(party.tables[0]));
  return h("p", { class: "privsdk-hint" },
    h("select", {
      "aria-label": `Table of ${party.name}`,
      onchange: (event) => set({ chosen: { ...now.chosen, [party.name]: event.target.value } }),
    },
      !chosen && h("option", { value: "", selected: true, disabled: true }, `${party.tables.length} tables: choose one`),
      party.tables.map((table) => h("option", { value: table.name, selected: chosen && now.chosen[party.name] === table.name }, facts(table)))));
}

/** What would stand in the way at this party, whatever the column. */
function warnings(now, party) {
  if (!party.reachable) return [];
  const table = party.tables.find((each) => each.name === now.chosen[party.name]);
  const found = Object.entries(party.frozen).map(([dataset, why]) => `${dataset} is frozen by its owner: ${why}`);
  const currency = now.use === null ? null : now.use.name === "release" ? "epsilon" : "exact";
  for (const [dataset, used] of Object.entries(party.used_up)) {
    if (used.includes(currency)) found.push(`${dataset} has no ${currency === "exact" ? "exact disclosures" : currency} left`);
  }
  if (now.use && party.tables.length && !runs(now.use, party)) {
    found.push(`${now.use.operations[0]} is not among the operations that its owner lets run here`);
  }
  if (now.use?.joint && table && now.held.length < party.min_parties) {
    found.push(`its owner asks for at least ${party.min_parties} parties' tables in a joint result: ${now.held.length} chosen`);
  }
  return found;
}

function runs(use, party) {
  return use.operations.some((operation) => party.operations.includes(operation));
}

/** The choice with this party: with the table that others are chosen with, if it has that, or else its first. */
function withParty(chosen, party) {
  if (party.name in chosen) return chosen;
  const names = party.tables.map((table) => table.name);
  const common = Object.values(chosen).find((name) => name && names.includes(name));
  return { ...chosen, [party.name]: common ?? names[0] ?? "" };
}

function without(chosen, name) {
  return Object.fromEntries(Object.entries(chosen).filter(([party]) => party !== name));
}

// Columns

function columnList(now, own, set, stops) {
  const title = h("h4", { id: `${own}-columns` }, "Columns");
  const section = (...children) => h("section", { "aria-labelledby": `${own}-columns` }, children);
  if (!now.held.length) {
    const prompt = now.ours.length ? "The chosen parties bring no table." : "Choose a party to see its columns.";
    return section(h("div", { class: "privsdk-bar" }, title), h("p", { class: "privsdk-empty" }, prompt));
  }
  const judged = now.names.map((name) => judge(now, name));
  const open = judged.filter((column) => !column.barred).map((column) => column.name);
  const all = open.length > 0 && open.every((name) => now.columns.includes(name));
  const change = () => set({ columns: all ? now.columns.filter((name) => !open.includes(name)) : ordered(now, [...now.columns, ...open]) });
  const stop = now.names.includes(stops.columns) ? stops.columns : now.names[0];
  const parts = now.use ? now.use.parts.map((part) => part.name) : ["permitted to you"];
  return section(
    h("div", { class: "privsdk-bar" }, title,
      h("button", { class: "privsdk-small", disabled: !open.length, onclick: change }, all ? "none" : now.use ? "all that are allowed" : "all")),
    h("div", { class: "privsdk-scroll" },
      h("table", { class: "privsdk-columns" },
        h("caption", { class: "privsdk-unseen" }, `Columns of ${now.held.map(({ party, table }) => `${party.name}/${table.name}`).join(", ")}`),
        h("thead", {}, h("tr", {}, ["column", "type", ...parts].map((text) => h("th", { scope: "col" }, text)),
          now.use && h("th", { scope: "col" }, h("span", { class: "privsdk-unseen" }, "reasons")))),
        h("tbody", { onkeydown: (event) => moving(event, () => keys(event, stops)) },
          judged.map((column, at) => columnRows(now, column, `${own}-column-${at}`, set, stops, stop, parts.length + 3))))),
    now.use?.name === "exact" && counting(now),
    h("p", { class: "privsdk-quiet privsdk-hint" }, now.use
      ? "Keys: arrows move, space chooses, the right arrow says why not."
      : "Keys: arrows move, space chooses."));
}

/** A column of the chosen tables: its type, what each part of the use says of it, and whether it can play none. */
function judge(now, name) {
  const holders = now.held.map(({ party, table }) => ({ party, table, column: table.columns.find((column) => column.name === name) }));
  const present = holders.filter(({ column }) => column);
  const types = grouped(present.map(({ party, column }) => [column.type, party.name]));
  const type = types.length === 1 ? types[0][0] : types.map(([text, parties]) => `${text} at ${parties.join(", ")}`).join("; ");
  const only = present.length < holders.length ? `only at ${present.map(({ party }) => party.name).join(", ")}` : "";
  const parts = (now.use?.parts ?? []).map((part) => ({ part, refusals: refusals(now, part, holders) }));
  return { name, type, only, present, parts, barred: parts.length > 0 && parts.every(({ refusals: found }) => found.length) };
}

/** Why a column cannot play a part: the reason in words, where it holds, and which disclosures no grant there has. */
function refusals(now, part, holders) {
  const found = [];
  for (const { party, table, column } of holders) {
    const refuse = (why, missing = null) => found.push({ why, missing, table: table.name, party: party.name });
    if (!column) {
      if (now.use.alike) refuse("not there, and all chosen tables need it,");
    } else if (!runs(now.use, party)) {
      refuse(`no ${now.use.operations[0]} is run`);
    } else if (part.pattern && !new RegExp(`^(?:${part.pattern})$`).test(column.type)) {
      refuse(`the column holds ${column.type}, which is not ${part.kind},`);
    } else {
      const missing = part.needs.filter((need) => !column.permits.includes(need));
      const other = missing.some((need) => column.elsewhere.includes(need)) ? ` for ${now._purpose}, only for other purposes,` : "";
      if (missing.length) refuse(`not granted as ${missing.join(" and ")}${other}`, missing);
    }
  }
  return grouped(found.map((each) => [JSON.stringify([each.why, each.table]), each])).map(([, same]) => ({
    ...same[0], parties: same.map(({ party }) => party),
  }));
}

/** [key, value] pairs as [key, values], in the order of the keys' first appearance. */
function grouped(pairs) {
  const groups = new Map();
  for (const [key, value] of pairs) groups.set(key, [...(groups.get(key) ?? []), value]);
  return [...groups];
}

function columnRows(now, column, id, set, stops, stop, width) {
  const chosen = now.columns.includes(column.name);
  const toggle = (event) => {
    if (column.barred && !chosen) return event.preventDefault();
    set({ columns: chosen ? now.columns.filter((name) => name !== column.name) : ordered(now, [...now.columns, column.name]) });
  };
  const refused = column.parts.flatMap(({ part, refusals: found }) => found.map((each) => ({ part, ...each })));
  const open = refused.length > 0 && stops.why.has(column.name);
  return [
    h("tr", { "data-key": column.name, class: column.barred ? "privsdk-off" : "" },
      h("th", { scope: "row" },
        h("label", {},
          h("input", {
            type: "checkbox", checked: chosen, "data-stop": true, tabindex: column.name === stop ? 0 : -1,
            "aria-disabled": column.barred && !chosen ? "true" : null, "aria-describedby": refused.length ? `${id}-why` : null,
            onclick: toggle, onfocus: () => { stops.columns = column.name; },
          }),
          h("span", { class: "privsdk-name" }, column.name)),
        column.only && h("span", { class: "privsdk-quiet privsdk-hint" }, column.only),
        chosen && column.barred && h("span", { class: "privsdk-bad privsdk-hint" }, "chosen, but refused for this")),
      h("td", { class: "privsdk-quiet" }, column.type),
      now.use ? column.parts.map((part) => h("td", {}, verdict(column, part))) : h("td", {}, permitted(column)),
      now.use && h("td", {}, refused.length > 0 && h("button", {
        class: "privsdk-link", tabindex: -1, "aria-expanded": String(open), "aria-controls": `${id}-why`,
        "aria-label": `Why not ${column.name}`, onclick: (event) => explain(event.currentTarget, stops, !stops.why.has(column.name)),
      }, "why not"))),
    refused.length > 0 && h("tr", { "data-key": `${column.name} why`, id: `${id}-why`, class: "privsdk-why", hidden: !open },
      h("td", { colspan: width }, reasons(now, column, refused))),
  ];
}

function verdict(column, { part, refusals: found }) {
  if (!found.length) {
    const most = Math.min(...column.present.map(({ column: held }) => held.max_epsilon));
    const bound = part.needs.includes("DP release") ? `up to epsilon ${figure(most)}` : "yes";
    return h("span", { class: "privsdk-good" }, `✓ ${bound}`);
  }
  const parties = [...new Set(found.flatMap((each) => each.parties))];
  const where = parties.length < column.present.length ? ` at ${parties.join(", ")}` : "";
  return h("span", { class: "privsdk-quiet" }, `✗ no${where}`);
}

/** The reasons of all parts, those that are the same together. */
function reasons(now, column, refused) {
  const same = grouped(refused.map((each) => [JSON.stringify([each.why, each.table, each.parties]), each]));
  return same.map(([, each]) => {
    const { why, table, parties, missing } = each[0];
    const most = missing?.includes("DP release") ? `, up to epsilon ${EXAMPLE_EPSILON} a release` : "";
    return h("div", { class: "privsdk-reason" },
      h("p", {}, h("strong", {}, `${column.name} as ${each.map(({ part }) => part.name).join(", ")}: `), `${why} at ${parties.join(", ")}.`),
      missing && h("p", {}, `The smallest grant that would allow it, to ask ${parties.length === 1 ? "the owner" : "the owners"} of ${parties.join(", ")} for: `
        + `${column.name} of ${table} as ${missing.join(" and ")}, to ${now._caller}, for ${now._purpose}${most}.`),
      missing && h("p", {}, h("code", {}, grant(now, column.name, table, missing))));
  });
}

/** The grant as the line of Python that makes it. */
function grant(now, column, table, missing) {
  const ways = missing.length === 1 ? text(missing[0]) : `(${missing.map(text).join(", ")})`;
  const most = missing.includes("DP release") ? `, max_epsilon=${EXAMPLE_EPSILON}` : "";
  return `ps.Grant(table=${text(table)}, columns={${text(column)}: ${ways}}, to=(${text(now._caller)},), purpose=(${text(now._purpose)},)${most})`;
}

/** What is permitted of a column to whom has nothing in mind yet; where owners differ, what all of them permit. */
function permitted(column) {
  const [first, ...rest] = column.present.map(({ column: held }) => held.permits);
  const all = first.filter((way) => rest.every((ways) => ways.includes(way)));
  const most = rest.some((ways) => ways.length !== all.length) || first.length !== all.length;
  const words = all.length ? all.join(", ") : "nothing";
  return [h("span", { class: all.length ? "" : "privsdk-quiet" }, words), most && h("span", { class: "privsdk-quiet" }, " by all; some of them permit more")];
}

function counting(now) {
  const against = now.held.filter(({ table }) => !table.rows.permits.includes("aggregate")).map(({ party }) => party.name);
  return h("p", { class: "privsdk-quiet privsdk-hint" }, against.length
    ? `Counting whole rows is not granted by ${against.join(", ")}.`
    : "Counting whole rows takes no column, and is granted.");
}

/** Open or close the reasons of the row that this element is in. */
function explain(element, stops, open) {
  const row = element.closest("tr");
  const button = row.querySelector("button[aria-controls]");
  if (!button) return;
  stops.why[open ? "add" : "delete"](row.dataset.key);
  button.setAttribute("aria-expanded", String(open));
  row.nextElementSibling.hidden = !open;
}

/** The right arrow opens a row's reasons, the left one closes them. */
function keys(event, stops) {
  if (!["ArrowRight", "ArrowLeft"].includes(event.key)) return;
  event.preventDefault();
  explain(event.target, stops, event.key === "ArrowRight");
}

function ordered(now, columns) {
  const wanted = new Set(columns);
  return [...now.names.filter((name) => wanted.has(name)), ...columns.filter((name) => !now.names.includes(name))];
}

// What comes of it

function outcome(now, own) {
  const lines = code(now);
  const late = JSON.stringify(sorted(now._taken)) !== JSON.stringify(sorted({ use: now.use?.name ?? "", chosen: now.chosen, columns: now.columns }));
  const count = (number, noun, many) => `${number} ${number === 1 ? noun : many}`;
  const few = now.use && now.held.length > 0 && now.held.length < now.use.fewest
    ? ` This takes tables of ${now.use.fewest} parties or more.` : "";
  return h("section", { "aria-labelledby": `${own}-code`, class: "privsdk-outcome" },
    h("p", { role: "status" },
      now.ours.length + now.columns.length === 0 ? "Nothing is chosen yet."
        : `${count(now.ours.length, "party", "parties")}, ${count(now.columns.length, "column", "columns")} chosen.`,
      few && h("span", { class: "privsdk-warn" }, few),
      late && h("span", { class: "privsdk-late privsdk-warn" }, " The kernel gets this when the running cell ends.")),
    h("div", { class: "privsdk-bar" },
      h("h4", { id: `${own}-code` }, "The same without this picker"),
      h("button", { class: "privsdk-small", disabled: !lines.length, onclick: copy }, "copy")),
    lines.length
      ? h("pre", { class: "privsdk-code", tabindex: 0, "aria-label": "code" }, h("code", {}, lines.join("\n")))
      : h("p", { class: "privsdk-empty" }, "Choose something, and the code for it stands here."),
    lines.length > 0 && now.use && now.held.length > 0 && h("p", { class: "privsdk-quiet privsdk-hint" }, "then, for example: ", h("code", {}, example(now))));
}

function sorted({ use, chosen, columns }) {
  return [use, Object.entries(chosen ?? {}).sort(), columns];
}

async function copy(event) {
  const button = event.currentTarget;
  const source = button.closest("section").querySelector("pre code");
  button.textContent = (await copied(source.textContent, source)) ? "copied" : "press Ctrl+C";
  setTimeout(() => { button.textContent = "copy"; }, 2000);
}

/** The lines of Python for the choice, as `code` of picker.py has them: a test holds the two together. */
function code(now) {
  const bringing = now.ours.filter((party) => now.chosen[party.name]);
  const handles = bringing.map((party) => `${now._name}[${text(party.name)}][${text(now.chosen[party.name])}]`);
  const names = [...new Set(bringing.map((party) => now.chosen[party.name]))];
  const having = (name) => now._parties.filter((party) => party.tables.some((table) => table.name === name));
  const everyone = now._parties.every((party) => party.reachable) && names.length === 1
    && having(names[0]).map((party) => party.name).join("\n") === bringing.map((party) => party.name).join("\n");
  const lines = [];
  if (handles.length === 1) lines.push(`table = ${handles[0]}`);
  else if (handles.length && everyone) lines.push(`tables = ${now._name}.tables(${text(names[0])})`);
  else if (handles.length) lines.push(`tables = [${handles.join(", ")}]`);
  if (bringing.length < now.ours.length) lines.push(`parties = [${now.ours.map((party) => text(party.name)).join(", ")}]`);
  if (now.columns.length) lines.push(`columns = [${now.columns.map(text).join(", ")}]`);
  return lines;
}

function example(now) {
  const one = now.held.length === 1;
  const fitting = now.columns.findIndex((name) => !judge(now, name).parts[0].refusals.length);
  const column = fitting < 0 ? '"..."' : `columns[${fitting}]`;
  return now.use.then.replace("*{tables}", one ? "table, other" : "*tables").replace("{tables}", one ? "table" : "tables")
    .replace("{table}", one ? "table" : `${now._name}["${now.held[0].party.name}"]["${now.held[0].table.name}"]`).replace("{column}", column);
}

/** A string of Python's and JavaScript's alike. */
function text(value) {
  return JSON.stringify(value);
}
