// What-if: a slider over epsilon and what the parties say of each; then consent, the release, its run, its result.

const SETTLED_MS = 150; // the slider's rest before the parties are asked
const LATE_MS = 4000; // an answer that is worth a word

export default {
  render({ model, el }) {
    const pressed = buttons(model, "followed");
    let settling = 0;
    let late = 0;
    const slide = (at) => {
      const value = model.get("choices")[at];
      if (value === undefined || value === model.get("epsilon")) return;
      model.set("epsilon", value);
      clearTimeout(settling);
      settling = setTimeout(() => model.save_changes(), SETTLED_MS);
    };
    const set = (name, value) => {
      model.set(name, value);
      model.save_changes();
    };
    const release = (plan) => {
      model.send({ do: "release", plan });
      model.set("note", "Asked for. It starts as soon as the kernel is free.");
    };
    const act = { slide, set, release, ask: pressed.ask, again: () => model.send({ do: "again" }) };
    const waiting = () => {
      clearTimeout(late);
      if (!fresh(model)) {
        late = setTimeout(() => model.set("note", "No answer yet: a cell keeps the kernel busy, or a party is slow."), LATE_MS);
      } else if (model.get("note")?.startsWith("No answer yet")) model.set("note", "");
    };
    const watched = ["change:facts", "change:epsilon", "change:followed"];
    watched.forEach((event) => model.on(event, waiting));
    waiting();
    const traits = ["facts", "epsilon", "considered", "agreed", "followed", "note"];
    const stop = drawing(model, el, traits, () => drawn(model, act));
    return () => {
      stop();
      pressed.close();
      watched.forEach((event) => model.off(event, waiting));
      clearTimeout(settling);
      clearTimeout(late);
    };
  },
};

/** Whether what is shown is about the slider's epsilon. */
function fresh(model) {
  if (model.get("followed").run) return true;
  const facts = model.get("facts");
  return "plan" in facts && (!model.get("choices").length || facts.epsilon === model.get("epsilon"));
}

function drawn(model, act) {
  const followed = model.get("followed");
  const facts = model.get("facts");
  if (followed.run) {
    const over = followed.run.state !== "running";
    return [
      followed.result && card(followed.result),
      running(followed, model.get("note"), act.ask),
      over && model.get("choices").length > 0 && h("p", {},
        h("button", { type: "button", onclick: act.again }, "Ask again, in a new plan with a consent of its own")),
    ];
  }
  const current = fresh(model);
  const known = facts.plan || facts.failure;
  return h("section", { "aria-label": `what if: ${facts.operation || "a question"}`, "aria-busy": String(!current) },
    h("h3", {}, facts.operation ? `What if: ${facts.operation}` : "What if"),
    slider(model, act.slide, unit(facts.charged ?? [])),
    h("p", { class: "privsdk-unseen", role: "status" }, current ? verdict(facts) : ""),
    h("p", { class: "privsdk-hint", "data-key": "asking" }, current ? "Nothing is spent by looking." : "Asking the parties ..."),
    known && h("div", { class: current ? "" : "privsdk-stale", "data-key": "said" },
      facts.failure ? failed(facts) : [refusals(facts, model, act.slide), outlook(facts), outcomes(facts.simulated), prices(facts)]),
    facts.plan && consent(model, facts, current, act),
    // last: what it pushed down would come under the mouse of who is pressing
    model.get("note") && h("p", { class: "privsdk-warn", role: "alert", "data-key": "note" }, model.get("note")),
  );
}

function verdict(facts) {
  if (facts.failure) return `no preview: ${facts.failure}`;
  if (facts.allowed) return `every party would allow it; it spends ${facts.spends}`;
  return `refused by ${facts.refusals.map((each) => each.party).join(", ")}`;
}

function slider(model, slide, whose) {
  const values = model.get("choices");
  if (!values.length) return null;
  const epsilon = model.get("epsilon");
  const at = values.indexOf(epsilon);
  const words = `No one's odds on any one ${whose} change by more than a factor of ${odds(epsilon)}.`;
  return h("div", { class: "privsdk-slide" },
    h("label", {}, h("span", {}, "epsilon ", h("strong", {}, figure(epsilon))),
      h("input", {
        type: "range", min: 0, max: values.length - 1, step: 1, value: at,
        "aria-valuetext": `epsilon ${figure(epsilon)}. ${words}`,
        oninput: (event) => slide(Number(event.target.value)),
      })),
    h("div", { class: "privsdk-ends", "aria-hidden": "true" },
      h("span", {}, `${figure(values[0])}: more noise, cheaper`), h("span", {}, `${figure(values.at(-1))}: less noise, dearer`)),
    h("p", {}, words));
}

function odds(epsilon) {
  const factor = Math.exp(epsilon);
  return factor < 100 ? Number(factor.toPrecision(3)).toString() : figure(Math.round(factor));
}

function failed(facts) {
  return h("div", { class: "privsdk-note privsdk-bad", role: "alert" },
    h("p", {}, h("strong", {}, "No preview: "), facts.failure), facts.hint && h("p", {}, `What to do: ${facts.hint}`));
}

function refusals(facts, model, slide) {
  if (facts.allowed) return null;
  const at = model.get("choices").indexOf(facts.largest);
  return h("div", { class: "privsdk-note privsdk-bad" },
    facts.refusals.map(refusal),
    at >= 0 && h("p", {}, h("button", { type: "button", onclick: () => slide(at) },
      `Go to epsilon ${figure(facts.largest)}, the largest here that all would allow`)),
    at < 0 && model.get("choices").length > 0 && h("p", {}, "None of the slider's values would pass."));
}

/** Why, and what to do; the grant that its owner could add, which is long, is for those who open it. */
function refusal({ party, message, hint }) {
  const [advice, ...more] = hint.split(/\n|(?=; or the smallest grant)/);
  const why = message.startsWith(party) ? message : `${party} refuses: ${message}`;
  return [
    h("p", {}, h("strong", {}, why)),
    advice && h("p", {}, `What to do: ${advice}`),
    more.length > 0 && h("details", {}, h("summary", {}, `What ${party}'s owner could add`),
      h("pre", {}, more.join("\n").replace(/^; or /, ""))),
  ];
}

function outlook(facts) {
  const rows = [...facts.expected, ...facts.notes];
  if (facts.queries) rows.push(["such requests left", `${facts.queries}, one after the other, from now`]);
  return rows.length > 0 && h("table", {}, h("caption", { class: "privsdk-unseen" }, "what to expect"), h("tbody", {},
    rows.map(([label, text]) => h("tr", {}, h("th", { scope: "row", class: "privsdk-label" }, label), h("td", {}, text)))));
}

/** Of each group of the mock a strip: a tick at its true figure, a dot for each outcome, on one axis for all. */
function outcomes(simulated) {
  if (!simulated?.groups.length) return null;
  const { groups, statistic, more } = simulated;
  const times = Math.max(...groups.map((group) => group.outcomes.length));
  const trues = groups.map((group) => group.true ?? 0);
  const [low, high] = [Math.min(0, ...trues), Math.max(0, ...trues)];
  const margin = (high - low || 1) * 0.2;
  const [least, most] = [low < 0 || trues.every((t) => t === 0) ? low - margin : low - margin / 4, high + margin];
  const [width, left, row] = [560, 130, 24];
  const height = groups.length * row + 22;
  const x = (value) => left + ((Math.min(most, Math.max(least, value)) - least) / (most - least)) * (width - left - 16);
  const strips = groups.map((group, at) => strip(group, at * row + row / 2 + 2, x, { left, width, least, most }));
  const label = groups.map((group) => {
    const sorted = [...group.outcomes].sort((a, b) => a - b);
    const range = sorted.length ? `${figure(sorted[0])} to ${figure(sorted.at(-1))}` : "none";
    return `${group.name || "all"}: true ${figure(group.true ?? NaN)}, outcomes ${range}`;
  });
  return h("figure", { "data-key": "outcomes" },
    h("figcaption", {}, `${times} simulated outcomes on the mock table (dots) beside its true ${statistic} (line)`),
    svg("svg", { viewBox: `0 0 ${width} ${height}`, style: `width:100%;max-width:${width}px`, role: "img", "aria-label": label.join("; ") },
      strips,
      svg("line", { x1: left, x2: width - 16, y1: height - 18, y2: height - 18, class: "privsdk-axis-line" }),
      [least < 0 && high > 0 ? 0 : low, high].map((value) =>
        svg("text", { x: x(value), y: height - 4, "text-anchor": "middle", class: "privsdk-axis" }, figure(value)))),
    more > 0 && h("p", { class: "privsdk-hint" }, `and ${more} more groups`));
}

function strip(group, y, x, { left, width, least, most }) {
  const beyond = group.outcomes.filter((value) => value < least || value > most).length;
  return svg("g", {},
    svg("text", { x: left - 10, y: y + 4, "text-anchor": "end", class: "privsdk-axis" }, short(group.name || "all")),
    svg("line", { x1: left, x2: width - 16, y1: y, y2: y, class: "privsdk-axis-line" }),
    group.outcomes.map((value, at) =>
      svg("circle", { cx: x(value).toFixed(1), cy: y + ((at % 5) - 2) * 2.2, r: 2.6, class: "privsdk-outcome" })),
    group.true !== null && svg("line", { x1: x(group.true), x2: x(group.true), y1: y - 10, y2: y + 10, class: "privsdk-true" }),
    beyond > 0 && svg("title", {}, `${beyond} lie outside the axis and are drawn at its end`));
}

function short(text) {
  return text.length > 18 ? `${text.slice(0, 17)}…` : text;
}

function prices(facts) {
  const charged = facts.charged;
  if (!charged.length) return null;
  const certain = charged.some((each) => each.certainty);
  const header = ["dataset", "this costs", "left now", "left after", "such requests", ...(certain ? ["attacker by this", "by all ever charged"] : [])];
  const rows = charged.flatMap((each) => [
    [`${each.party}/${each.dataset}`, each.price, each.now, each.after, each.queries,
      ...(certain ? [each.certainty && `at most ${each.certainty}`, each.lifetime && `at most ${each.lifetime}`] : [])],
    ...each.limits.map(([whose, left]) => [`  ${whose}`, "", "", left, "", ...(certain ? ["", ""] : [])]),
  ]);
  return [
    h("div", { class: "privsdk-figures" }, grid("what it costs and what is left", header, rows)),
    certain && h("p", { class: "privsdk-hint" }, `Attacker: who was 50% sure that a certain ${unit(charged)} is in the data becomes at most so sure, but for a chance of about delta.`),
    charged.filter((each) => each.short).map((each) => h("p", { class: "privsdk-warn" }, `May end early: ${each.short}: it goes on as far as that.`)),
  ];
}

function unit(charged) {
  return [...new Set(charged.map((each) => each.id || "row"))].join(" or ");
}

/** In two steps, so that a release is never pressed by accident: open it, agree, then release. */
function consent(model, facts, current, act) {
  const open = model.get("considered") === facts.plan;
  const agreed = model.get("agreed") === facts.plan;
  const asked = agreed && model.get("note").startsWith("Asked for");
  if (!facts.allowed) return null;
  if (!open || !current) {
    return h("p", { "data-key": "consider" }, h("button", {
      class: "privsdk-main", type: "button", disabled: !current, onclick: () => act.set("considered", facts.plan),
    }, "Consider a release ..."));
  }
  return h("section", { class: "privsdk-consent", "aria-label": "consent", "data-key": "consent" },
    h("h4", {}, "Before you release"),
    h("p", {}, h("strong", {}, "Who is charged: "), facts.spends === "nothing" ? "nobody." : `${facts.spends}.`,
      " What is spent is spent for good, whatever comes of it."),
    grid("who learns what", ["who", "learns"], facts.learns.map((each) => [each.who, each.what])),
    h("p", {}, h("label", {},
      h("input", {
        type: "checkbox", checked: agreed, onchange: (event) => act.set("agreed", event.target.checked ? facts.plan : ""),
      }), " I have read who is charged and who learns what.")),
    h("p", {},
      h("button", {
        class: "privsdk-main", type: "button", disabled: !agreed || asked, onclick: () => act.release(facts.plan),
      }, `Release: spends ${facts.spends}`),
      h("button", { type: "button", onclick: () => { act.set("considered", ""); act.set("agreed", ""); } }, "Not now")));
}
