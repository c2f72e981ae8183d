// What the panel shows, from its state alone. The build puts the widgets' dom.js before this file; so do the tests.
//
// The state is described in model.ts; `all` is what privsdk/widgets/panel.py tells.

const OPENING = "import privsdk as ps";
const ENDED_SHOWN = 10;

export default {
  render({ model, el }) {
    el.classList.add("privsdk", "privsdk-panel");
    return drawing(model, el, ["notebook", "kernel", "busy", "direct", "stale", "all"], () => drawn(model));
  },
};

function drawn(model) {
  const federations = model.get("all")?.federations ?? [];
  const here = model.get("kernel") === "here";
  return [
    heading(model, here && federations.length > 0),
    here && federations.length ? shown(model, federations) : empty(model),
  ];
}

function heading(model, asking) {
  const notebook = model.get("notebook");
  return h(
    "div",
    { class: "privsdk-heading" },
    h("h2", {}, "privsdk"),
    notebook ? h("p", { class: "privsdk-file", title: notebook }, notebook) : null,
    notebook ? h("p", { class: "privsdk-kernel", role: "status" }, kernelText(model)) : null,
    asking &&
      h(
        "div",
        { class: "privsdk-actions" },
        h("button", { onclick: () => model.send({ kind: "refresh" }), title: "Ask all parties again" }, "Refresh"),
        h(
          "button",
          { onclick: () => model.send({ kind: "verify" }), title: "Have every party check its audit chain" },
          "Verify audits",
        ),
      ),
    asking && deaf(model) && h("p", { class: "privsdk-note" }, "The kernel hears these buttons when the cell has ended. What you see stays live."),
  );
}

/** Whether the kernel hears nothing but an interrupt. */
function deaf(model) {
  return model.get("busy") && !model.get("direct");
}

function kernelText(model) {
  if (model.get("kernel") === "none") return "no kernel";
  return model.get("busy") ? "kernel: running a cell" : "kernel: free";
}

// Where there is nothing to show: why, and what to do about it

function empty(model) {
  const kernel = model.get("kernel");
  if (!model.get("notebook")) {
    return blank("No notebook is open", "Open one, or begin with a tutorial. This panel follows the notebook that you work in.", [
      button(model, "tutorial", "Open a tutorial"),
    ]);
  }
  if (kernel === "none") {
    return blank("This notebook has no kernel", "Start one by running a cell, or choose Kernel, Change Kernel in the menu.");
  }
  if (kernel === "asking") {
    const why = model.get("busy")
      ? "A cell is running. The panel fills as soon as privsdk has news, at the latest when the cell has ended."
      : "Asking the kernel whether privsdk is there.";
    return blank("One moment", why);
  }
  if (kernel === "silent") {
    return blank("privsdk is not in use here yet", "Run this line in a Python notebook, and the panel follows it:", [
      h("pre", {}, h("code", {}, OPENING)),
      button(model, "import", "Insert this line"),
    ]);
  }
  if (kernel === "shared") {
    return blank("Another notebook has this kernel, too", "The panel follows the one that was opened first. Go there to see the parties.");
  }
  return blank("No federation is open", "Open one, and its parties, budgets and runs appear here. For example, with invented sales:", [
    h("pre", {}, h("code", {}, model.get("example"))),
    button(model, "open", "Insert this cell"),
  ]);
}

function blank(title, text, more = []) {
  return h("section", { class: "privsdk-empty" }, h("h3", {}, title), h("p", {}, text), more);
}

function button(model, what, text) {
  return h("button", { class: "privsdk-main", onclick: () => model.send({ kind: "do", what }) }, text);
}

// What comes and goes is hidden in its place: an element that is before another one is then never taken for that.
//
// One federation after another, the latest first; earlier ones only by name until they are opened

function shown(model, [latest, ...earlier]) {
  return [
    h("section", { class: "privsdk-federation", "data-key": latest.number, "aria-label": named(latest) }, h("h3", {}, named(latest)), federation(model, latest)),
    earlier.map((fed) => h("details", { class: "privsdk-federation", "data-key": fed.number }, h("summary", {}, `Opened earlier: ${named(fed)}`), federation(model, fed))),
  ];
}

function named(fed) {
  return fed.parties ? `Federation of ${fed.parties.map((party) => party.name).join(", ")}` : "Federation";
}

function federation(model, fed) {
  if (!fed.parties) return h("p", {}, "Asking the parties.");
  const running = fed.runs.filter((run) => run.state === "running");
  const ended = fed.runs.filter((run) => run.state !== "running").reverse();
  return [
    h("p", { class: "privsdk-note" }, `You are ${fed.caller}, for ${fed.purpose}.`),
    h("p", { hidden: !model.get("stale") }, marked("warn", "Some news was lost on the way; it is asked for again.")),
    h("h4", {}, "Running"),
    h("div", {}, running.length ? running.map((run) => underWay(model, run)) : h("p", { class: "privsdk-note" }, "Nothing is running.")),
    h("h4", {}, "Parties and budgets"),
    h("ul", { class: "privsdk-parties" }, fed.parties.map(party)),
    lately(ended),
    audit(fed),
  ];
}

function party(facts) {
  const tables = facts.tables.length ? facts.tables.join(", ") : "no tables";
  return h(
    "li",
    { "data-key": facts.name },
    h(
      "p",
      {},
      h("strong", {}, facts.name),
      " ",
      facts.reachable
        ? h("span", { class: "privsdk-note" }, facts.running ? `${tables}; ${facts.running} under way` : tables)
        : marked("bad", "cannot be reached"),
    ),
    facts.balances.map((balance) => [
      balance.frozen && h("p", {}, marked("warn", `${balance.dataset} is frozen by its owner: ${balance.frozen}`)),
      gauge("epsilon left", balance, balance.epsilon),
      gauge("exact answers left", balance, balance.exact),
    ]),
  );
}

function gauge(what, balance, meter) {
  if (!meter.cap) return null;
  const left = Math.max(0, Math.min(1, meter.left / meter.cap));
  const label = `${balance.dataset} of ${balance.party}: ${what}`;
  return h(
    "div",
    { class: "privsdk-gauge", title: `${label}: ${meter.text}` },
    h("span", {}, `${balance.dataset}: ${what}`),
    h("span", { class: "privsdk-figure" }, meter.text),
    h(
      "div",
      { class: "privsdk-track", role: "meter", "aria-label": label, "aria-valuemin": 0, "aria-valuemax": meter.cap, "aria-valuenow": meter.left, "aria-valuetext": meter.text },
      h("div", { class: `privsdk-fill ${left < 0.1 ? "privsdk-low" : ""}`, "data-moves": true, style: `width:${(100 * left).toFixed(1)}%` }),
    ),
  );
}

function underWay(model, run) {
  const furthest = Object.values(run.latest).reduce((best, point) => (point.done > best.done ? point : best), { done: 0, total: 0 });
  const seen = Object.values(run.latest);
  const moved = seen.reduce((sum, point) => sum + point.sent, 0);
  const taken = Math.max(0, ...seen.map((point) => point.seconds));
  const rounds = furthest.total > 0;
  return h(
    "article",
    { class: "privsdk-run", "data-key": run.id, "aria-label": `${run.operation}, running` },
    h("p", {}, h("strong", {}, run.operation), ` of ${run.parties.join(", ")}`),
    h(
      "div",
      { class: "privsdk-track", hidden: !rounds, role: "progressbar", "aria-label": `rounds of ${run.operation}`, "aria-valuemin": 0, "aria-valuemax": furthest.total, "aria-valuenow": furthest.done },
      h("div", { class: "privsdk-fill", "data-moves": true, style: `width:${((100 * furthest.done) / (furthest.total || 1)).toFixed(1)}%` }),
    ),
    h(
      "p",
      { class: "privsdk-note" },
      rounds ? `${furthest.done} of ${furthest.total} done, ${duration(taken)}, ${bytes(moved)} sent` : "begun",
    ),
    h("div", { class: "privsdk-curve" }, curve(run)),
    Object.keys(run.phases).length
      ? h(
          "details",
          { "data-key": "phases" },
          h("summary", {}, "What each party is doing"),
          grid(`Phases of ${run.operation}`, ["party", "phase"], Object.entries(run.phases).map(([name, phase]) => [name, phase || "-"])),
        )
      : null,
    ending(model, run, rounds),
  );
}

/** The kernel is asked to end this run, if it hears; while a cell runs it can be interrupted in any case. */
function ending(model, run, rounds) {
  const send = (kind) => () => model.send({ kind, run: run.id });
  const asked = { stop: "Stopping after this round.", cancel: "Cancelling." }[run.asked];
  const heard = !asked && !deaf(model);
  return [
    h("p", { class: "privsdk-note", role: "status" }, asked ?? ""),
    h(
      "div",
      { class: "privsdk-actions" },
      heard && rounds && h("button", { onclick: send("stop"), title: "Ends after this round; the result so far is kept" }, "Stop after this round"),
      heard && h("button", { onclick: send("cancel"), title: "Ends at every party without a result; what was charged stays charged" }, "Cancel"),
      model.get("busy") &&
        h("button", { onclick: () => model.send({ kind: "interrupt" }), title: "Ends the cell that is running, and the run that it waits for" }, "Interrupt the kernel"),
    ),
  ];
}

/** The first figure that is told of each round, as a line. */
function curve(run) {
  const told = run.curve.filter((point) => Object.values(point.figures).some(Number.isFinite));
  if (!told.length) return null;
  const name = Object.keys(told[told.length - 1].figures)[0];
  const points = told.filter((point) => Number.isFinite(point.figures[name])).map((point) => [point.done, point.figures[name]]);
  const values = points.map(([, value]) => value);
  const [low, high] = [Math.min(...values), Math.max(...values)];
  const [first, last] = [points[0][0], points[points.length - 1][0]];
  const path = points
    .map(([x, y]) => `${((200 * (x - first)) / (last - first || 1)).toFixed(1)},${(38 - (36 * (y - low)) / (high - low || 1)).toFixed(1)}`)
    .join(" ");
  const text = `${name} ${figure(values[values.length - 1])}`;
  return [
    svg(
      "svg",
      { viewBox: "0 0 200 40", preserveAspectRatio: "none", role: "img", "aria-label": `${text}, from ${figure(values[0])} in round ${first}` },
      svg("polyline", { points: path, fill: "none", "vector-effect": "non-scaling-stroke" }),
    ),
    h("span", { class: "privsdk-figure" }, text),
  ];
}

/** Text with a mark in the colour of its kind before it: the colour says nothing that the text does not. */
function marked(kind, ...text) {
  return [h("span", { class: `privsdk-mark privsdk-${kind}`, "aria-hidden": "true" }, "\u25cf "), ...text];
}

function lately(ended) {
  return h(
    "details",
    { "data-key": "ended", open: true, hidden: !ended.length },
    h("summary", {}, `Lately ended: ${ended.length}`),
    h(
      "ul",
      { class: "privsdk-ended" },
      ended.slice(0, ENDED_SHOWN).map((run) =>
        h(
          "li",
          { "data-key": run.id },
          marked({ done: "good", failed: "bad" }[run.state] ?? "warn", `${run.state}: ${run.operation}, ${duration(run.seconds)}`),
          run.why && run.state === "failed" ? h("p", { class: "privsdk-note" }, run.why) : null,
        ),
      ),
    ),
  );
}

function audit(fed) {
  return [
    h("div", { role: "status" }, verdict(fed.audit).map((line) => h("p", {}, line))),
    h(
      "details",
      { "data-key": "audit" },
      h("summary", {}, "What the parties' audits say of you"),
      fed.events.length
        ? grid(
            "Audit rows about your requests, latest first",
            ["when", "party", "event", "operation"],
            fed.events.map((event) => [
              h("time", { datetime: event.at, title: event.at }, clock(event.at)),
              event.party,
              h("span", { title: event.why }, event.event),
              event.operation,
            ]),
          )
        : h("p", { class: "privsdk-note" }, "Nothing yet."),
      h("p", { class: "privsdk-note" }, "All of it: fed.audit_log()"),
    ),
  ];
}

function verdict(found) {
  if (!found) return [];
  if (found.running) return ["Verifying the audits."];
  if (found.failed) return [marked("bad", `The audits could not be verified: ${found.failed}`)];
  const bad = found.verdicts.filter((each) => each.fault);
  if (bad.length) return bad.map((each) => marked("bad", `The audit of ${each.party} is not sound: ${each.fault}`));
  const rows = found.verdicts.reduce((sum, each) => sum + each.rows, 0);
  return [marked("good", `Audits sound at ${clock(found.at)}: ${figure(rows)} rows of ${found.verdicts.length} parties.`)];
}

function clock(at) {
  return new Date(at).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", second: "2-digit", hour12: false });
}

/** Make these edits to a value in place, as privsdk/widgets/patches.py describes them; returns the value. */
export function edited(value, edits) {
  const root = { value };
  for (const [kind, path, ...rest] of edits) {
    const way = ["value", ...path];
    const last = way.pop();
    const place = way.reduce((found, key) => found[key], root);
    if (kind === "set") place[last] = rest[0];
    else if (kind === "drop") delete place[last];
    else place[last].splice(rest[0], rest[1], ...rest[2]);
  }
  return root.value;
}
