// The budget view: of every dataset what is spent, reserved and left; what was spent on; what budgets still cover.

const TRAITS = ["_parties", "_spending", "_most", "_forecast", "_receipt", "_embedded", "_ended", "_caller", "_purpose"];
const NEARLY = 0.15; // left of a budget, and it is said to be nearly spent

export default {
  render({ model, el }) {
    const own = `privsdk-${Math.random().toString(36).slice(2, 8)}`;
    return drawing(model, el, TRAITS, () => {
      const now = Object.fromEntries(TRAITS.map((trait) => [trait, model.get(trait)]));
      return [
        h("h3", {}, "Budgets"),
        now._ended
          ? h("p", { class: "privsdk-note privsdk-bad", role: "status" }, "This federation is closed: below is what was last known.")
          : h("p", { class: "privsdk-quiet" }, `As the owners' ledgers say, for all analysts together; limits below a budget as far as they concern you (${now._caller}, for ${now._purpose}).`),
        now._forecast && forecastOf(now._forecast),
        balances(now, own),
        spent(now, own),
        now._receipt && receiptOf(now, own),
      ];
    });
  },
};

// Balances

function balances(now) {
  if (!now._parties.length) return h("p", { class: "privsdk-empty" }, "Asking the parties ...");
  const bare = now._parties.filter((party) => party.reachable && !party.balances.length).map((party) => party.name);
  const gone = now._parties.filter((party) => !party.reachable).map((party) => party.name);
  const rows = now._parties.flatMap((party) => party.balances.flatMap((balance) => datasetRows(now, balance)));
  return [
    rows.length > 0 && h("div", { class: "privsdk-scroll privsdk-tall", tabindex: 0, role: "group", "aria-label": "budgets" },
      h("table", { class: "privsdk-budgets" },
        h("caption", { class: "privsdk-unseen" }, "Budgets by dataset"),
        h("thead", {}, h("tr", {}, ["dataset", "epsilon", "exact disclosures"].map((text) => h("th", { scope: "col" }, text)))),
        h("tbody", {}, rows))),
    rows.length > 0 && key(now),
    gone.length > 0 && h("p", { class: "privsdk-bad" }, `${gone.join(", ")} cannot be reached${now._ended ? "" : "; asked again now and then"}.`),
    bare.length > 0 && h("p", { class: "privsdk-quiet" }, `${bare.join(", ")}: no data, so no budget.`),
  ];
}

function datasetRows(now, balance) {
  const name = `${balance.party}/${balance.dataset}`;
  const title = now._parties.find((party) => party.name === balance.party)?.title;
  const next = now._forecast?.by[name] ?? null;
  const { epsilon, exact } = balance;
  const ever = epsilon.lifetime !== epsilon.spent || exact.lifetime !== exact.spent;
  const cell = (currency, meter, more) => h("td", {}, gauge(`${currency} of ${name}`, meter, more, currency === "epsilon" ? 3 : 0, balance.frozen !== ""));
  return [
    h("tr", { "data-key": name },
      h("th", { scope: "row" },
        h("span", { class: "privsdk-name" }, name),
        title && h("bdi", { class: "privsdk-quiet privsdk-below" }, title),
        h("span", { class: "privsdk-quiet privsdk-below" }, `protects ${balance.unit}`),
        balance.frozen && h("span", { class: "privsdk-bad privsdk-below" }, `❄ frozen by its owner: ${balance.frozen}. Nothing can be charged.`),
        balance.reserved > 0 && h("span", { class: "privsdk-warn privsdk-below" }, `${balance.reserved} run${balance.reserved === 1 ? "" : "s"} under way`)),
      cell("epsilon", epsilon, next?.[1] ?? 0),
      cell("exact disclosures", exact, next?.[2] ?? 0)),
    balance.limits.map((limit) => h("tr", { "data-key": `${name} ${limit.text}`, class: "privsdk-limit" },
      h("th", { scope: "row" }, `limit: ${limit.text}`),
      h("td", {}, limit.epsilon_share >= 0 && bar(`epsilon of ${name}, ${limit.text}`, limit.epsilon_share, `${limit.epsilon} left`)),
      h("td", {}, limit.exact_share >= 0 && bar(`exact disclosures of ${name}, ${limit.text}`, limit.exact_share, `${limit.exact} left`)))),
    ever && h("tr", { "data-key": `${name} ever`, class: "privsdk-limit" },
      h("th", { scope: "row" }, "since the ledger began"),
      h("td", {}, `epsilon ${short(epsilon.lifetime, 3)} spent`),
      h("td", {}, `${short(exact.lifetime, 0)} spent`)),
  ];
}

/** What is left, of it what one more of the plan would take, what is reserved, and what is spent, which is empty; with the same in words. */
function gauge(label, { cap, spent: taken, reserved, left, text }, more, digits, frozen) {
  const share = (value) => (cap > 0 ? Math.max(0, Math.min(1, value / cap)) : 0);
  const held = Math.min(reserved, taken);
  const level = cap === 0 ? "none" : left <= 0 ? "bad" : left / cap < NEARLY ? "warn" : "plain";
  const words = cap === 0 ? "none is given" : left <= 0 ? `used up: 0 of ${short(cap, digits)} left` : `${text} left`;
  const part = (name, value) => value > 0 && h("span", { class: `privsdk-part privsdk-${name}`, "data-moves": true, style: `width:${(100 * share(value)).toFixed(2)}%` });
  const told = [
    held > 0 && `at most ${short(held, digits)} reserved`,
    more > 0 && `one more takes ${short(more, digits)}`,
  ].filter(Boolean);
  return [
    h("div", {
      class: `privsdk-gauge privsdk-level-${level}${frozen ? " privsdk-frozen" : ""}`, role: "meter", "aria-label": label, "aria-valuemin": 0, "aria-valuemax": cap,
      "aria-valuenow": Math.max(0, left), "aria-valuetext": [`${short(taken, digits)} of ${short(cap, digits)} spent`, ...told, words].join(", "),
    }, part("left", left - Math.min(more, left)), part("next", Math.min(more, left)), part("held", held)),
    h("div", { class: level === "bad" ? "privsdk-bad" : level === "warn" ? "privsdk-warn" : "" }, level === "warn" ? `⚠ ${words}: nearly spent` : words,
      told.length > 0 && h("span", { class: "privsdk-quiet" }, ` (${told.join("; ")})`)),
  ];
}

function bar(label, spent, words) {
  const share = Math.max(0, 1 - spent);
  const level = share === 0 ? "bad" : share < NEARLY ? "warn" : "plain";
  return h("div", { class: "privsdk-line" },
    h("div", { class: `privsdk-gauge privsdk-thin privsdk-level-${level}`, role: "meter", "aria-label": label, "aria-valuemin": 0, "aria-valuemax": 1, "aria-valuenow": share, "aria-valuetext": words },
      share > 0 && h("span", { class: "privsdk-part privsdk-left", "data-moves": true, style: `width:${(100 * share).toFixed(2)}%` })),
    h("span", { class: level === "plain" ? "" : `privsdk-${level}` }, words));
}

function key(now) {
  const entry = (name, words) => h("span", { class: "privsdk-entry" }, h("span", { class: `privsdk-swatch privsdk-${name}`, "aria-hidden": "true" }), words);
  return h("p", { class: "privsdk-key" }, entry("left", "left"), now._forecast && entry("next", "one more of the plan"), entry("held", "reserved by runs under way"), entry("spent", "spent"));
}

function short(value, digits) {
  return digits ? Number(value.toPrecision(digits)).toString() : figure(value);
}

// Forecast

function forecastOf({ what, price, left, at_least: least, refused }) {
  const no = Object.entries(refused);
  if (no.length) {
    return h("div", { class: "privsdk-note privsdk-bad", role: "status" },
      h("p", { class: "privsdk-name" }, `Not one more ${what}: refused.`), no.map(([party, why]) => h("p", {}, `${party}: ${why}`)));
  }
  const number = `${least ? "at least " : ""}${figure(left)}`;
  return h("div", { class: `privsdk-note privsdk-${left ? "plain" : "bad"}`, role: "status" },
    h("p", {}, "At this price ", h("strong", { class: "privsdk-big" }, number), ` more ${what}${left === 1 ? "" : " in a row"}, if nobody else asks meanwhile.`),
    h("p", { class: "privsdk-quiet" }, price));
}

// What was spent

function spent(now, own) {
  const rows = now._spending.map((run) => [moment(run.at), run.operation || "an earlier run", run.charged.map((line) => h("div", {}, line)), run.state]);
  return h("section", { "aria-labelledby": `${own}-spent` },
    h("h4", { id: `${own}-spent` }, "What you spent"),
    rows.length
      ? h("div", { class: "privsdk-scroll privsdk-short", tabindex: 0, role: "group", "aria-label": "what you spent" }, grid("What you spent, latest first", ["when", "for", "charged", "state"], rows))
      : h("p", { class: "privsdk-empty" }, "Nothing yet, as far as these ledgers remember you."),
    rows.length > 0 && h("p", { class: "privsdk-quiet" }, `From the latest ${now._most} audit rows of each party about you; older ones: fed.audit_log(most=1000). What others spent is in the gauges, not here.`));
}

/** A moment in UTC, as text of the reader's own clock. */
function moment(at) {
  const when = new Date(at);
  const two = (number) => String(number).padStart(2, "0");
  return `${when.getFullYear()}-${two(when.getMonth() + 1)}-${two(when.getDate())} ${two(when.getHours())}:${two(when.getMinutes())}`;
}

// Receipt

const VERDICTS = { verified: ["good", "✓ verified"], claimed: ["warn", "claimed only"], invalid: ["bad", "✗ INVALID"] };

function receiptOf({ _receipt: { run, operation, heads }, _embedded: embedded }, own) {
  const rows = heads.map(({ party, state, why, rows: count, hash }) => [
    party, h("span", { class: `privsdk-${VERDICTS[state][0]}` }, VERDICTS[state][1]), why, hash && `${figure(count)} rows, ${hash}`,
  ]);
  return h("section", { "aria-labelledby": `${own}-receipt` },
    h("h4", { id: `${own}-receipt` }, `Receipt of ${operation}, run ${run}`),
    grid("Receipt by party", ["party", "receipt", "why", "audit chain then"], rows),
    h("p", { class: embedded ? "privsdk-warn" : "privsdk-quiet" }, embedded
      ? "These parties live in this notebook's process: their signatures prove nothing against the laptop's owner. With parties on machines of their own they do."
      : "A signature proves what a party said its ledger held, not that it was so. To compare with its exported audit: result.receipt.lies_in(party, export)."));
}
