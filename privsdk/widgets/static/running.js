// Draws a run: how far it is, its figures as a curve, where each party is, what is left, and buttons that end it.

const RUN_STATES = {
  running: "running", done: "done", stopped: "stopped early", short: "ended early", cancelled: "cancelled", failed: "failed",
};
const PARTY_STATES = {
  asked: "asked", working: "working", waiting: "waiting", ended: "ended", cancelled: "cancelled", lost: "lost",
};
const HEARD_WITHIN_MS = 2000; // a button by a kernel that is free

/** What a run's buttons do; `close` forgets what they wait for. One for each view. */
function buttons(model, trait) {
  let cancelling = false;
  let timer = 0;
  const followed = () => model.get(trait);
  const note = (text) => model.set("note", text);
  const ask = async (what) => {
    const { awaited } = followed();
    if (!awaited) {
      model.send({ do: what });
      note("");
      clearTimeout(timer);
      timer = setTimeout(() => {
        const { run } = followed() ?? {};
        if (run?.state === "running" && !(what === "stop" && run.stopping)) {
          note("The kernel is busy with another cell and hears this when that cell ends.");
        }
      }, HEARD_WITHIN_MS);
      return;
    }
    cancelling = what === "cancel" && followed().run.stops && !followed().run.stopping;
    if (!(await interrupt(model.get("kernel")))) {
      cancelling = false;
      const twice = what === "cancel" && followed().run.stops ? ", twice" : "";
      note(`This page cannot interrupt the kernel. Press the stop button of the notebook's toolbar${twice}.`);
    }
  };
  const again = () => {
    const { run, awaited } = followed() ?? {};
    if (!cancelling || !run) return;
    if (run.state !== "running") cancelling = false;
    else if (run.stopping && awaited) {
      cancelling = false; // the first interrupt had it stop, a second one cancels it
      interrupt(model.get("kernel"));
    }
  };
  model.on(`change:${trait}`, again);
  return {
    ask,
    close: () => {
      clearTimeout(timer);
      model.off(`change:${trait}`, again);
    },
  };
}

/** A run's elements. */
function running(followed, note, ask) {
  const { run, failure, left } = followed;
  const point = run.curve.at(-1);
  const going = run.state === "running";
  return h("section", { "aria-label": `run of ${run.operation}`, "data-state": run.state },
    h("h3", {}, `run of ${run.operation} `, badge(followed)),
    h("p", { class: "privsdk-unseen", role: "status" }, `${run.operation}: ${stateOf(followed)}`),
    far(run, point),
    failure && failing(failure, run.state),
    h("div", { class: "privsdk-side" }, ...curves(run.curve), budgets(left)),
    whereabouts(run),
    going && h("p", {},
      run.stops && h("button", {
        class: "privsdk-main", type: "button", disabled: !point || run.stopping, onclick: () => ask("stop"),
      }, run.stopping ? "Ending after this round" : "Stop after this round, keep the result so far"),
      h("button", { type: "button", onclick: () => ask("cancel") },
        run.stops ? "Cancel, keep nothing" : "Cancel the run")),
    going && h("p", { class: "privsdk-hint" }, "What was charged stays charged, however it ends."),
    going && note && h("p", { class: "privsdk-warn", role: "alert" }, note),
  );
}

function stateOf({ run, stopped }) {
  if (run.state === "running" && run.stopping) return "ending after this round";
  const early = run.stopping ? "stopped" : "short";
  return RUN_STATES[run.state === "done" && stopped ? early : run.state];
}

function badge(followed) {
  const { run, stopped } = followed;
  const kinds = { done: stopped ? "warn" : "good", failed: "bad", cancelled: "warn", running: "" };
  return h("span", { class: `privsdk-badge privsdk-${kinds[run.state] || "quiet"}` }, stateOf(followed));
}

function far(run, point) {
  const parts = [];
  if (point) parts.push(`${figure(point.done)} of ${figure(point.total)} done`);
  if (run.seconds) parts.push(duration(run.seconds));
  if (point && point.sent + point.received) parts.push(`${bytes(point.sent)} sent, ${bytes(point.received)} received`);
  for (const [name, value] of Object.entries(point?.figures ?? {})) parts.push(`${name} ${figure(value)}`);
  return [
    point && h("progress", { max: point.total || 1, value: point.done, "aria-label": "rounds done" }),
    parts.length > 0 && h("p", {}, parts.join(" · ")),
  ];
}

function failing(failure, state) {
  const where = [failure.party && `at ${failure.party}`, failure.phase && `in the phase "${failure.phase}"`];
  const said = where.filter(Boolean).join(", ");
  return h("div", { class: `privsdk-note privsdk-${state === "failed" ? "bad" : "warn"}` },
    h("p", {}, h("strong", {}, state === "failed" ? `Failed${said && ` ${said}`}: ` : ""), failure.message),
    failure.hint && h("p", {}, `What to do: ${failure.hint}`));
}

/** A curve for each of the figures that were told, over the rounds. */
function curves(told) {
  const names = [...new Set(told.flatMap((each) => Object.keys(each.figures)))];
  return names.slice(0, 4).map((name) => {
    const points = told.filter((each) => Number.isFinite(each.figures[name])).map((each) => [each.done, each.figures[name]]);
    return points.length > 1 && curve(name, points, told[0].total);
  });
}

function curve(name, points, total) {
  const [width, height, left, bottom] = [300, 110, 50, 18];
  const values = points.map(([, value]) => value);
  const [low, high] = [Math.min(...values), Math.max(...values)];
  const first = points[0][0];
  const x = (done) => left + ((done - first) / Math.max(1, total - first)) * (width - left - 6);
  const y = (value) => 8 + (1 - (value - low) / (high - low || 1)) * (height - bottom - 14);
  const last = points.at(-1);
  const path = points.map(([done, value]) => `${x(done).toFixed(1)},${y(value).toFixed(1)}`).join(" ");
  const text = (at, up, content, anchor = "end") =>
    svg("text", { x: at, y: up, "text-anchor": anchor, class: "privsdk-axis" }, content);
  return h("figure", {},
    h("figcaption", {}, `${name} by round`),
    svg("svg", {
      viewBox: `0 0 ${width} ${height}`, width, height, role: "img",
      "aria-label": `${name}, from ${figure(values[0])} to ${figure(last[1])} after ${last[0]} of ${total} rounds`,
    },
      svg("line", { x1: left, x2: width - 6, y1: height - bottom, y2: height - bottom, class: "privsdk-axis-line" }),
      text(left - 6, y(high) + 4, figure(high)),
      high > low && text(left - 6, y(low) + 4, figure(low)),
      text(left, height - 4, figure(first), "start"),
      text(width - 6, height - 4, figure(total)),
      svg("polyline", { points: path, class: "privsdk-line" }),
      svg("circle", { cx: x(last[0]), cy: y(last[1]), r: 3, class: "privsdk-dot" })));
}

function budgets(left) {
  if (!left.length) return null;
  return h("figure", {},
    h("figcaption", {}, "left of the budgets that it draws on"),
    left.map((each) => h("div", { class: "privsdk-left", "data-key": `${each.party}/${each.dataset}/${each.currency}` },
      h("span", {}, each.dataset === each.party ? each.party : `${each.party}/${each.dataset}`),
      h("meter", {
        min: 0, max: each.cap || 1, value: each.left,
        "aria-label": `${each.currency === "exact" ? "exact disclosures" : "epsilon"} left at ${each.party}`,
      }),
      h("span", {}, `${each.text} ${each.currency === "exact" ? "exact" : "epsilon"}`))));
}

function whereabouts(run) {
  const paying = run.where.some((each) => each.instalments);
  const header = ["party", "state", "phase", ...(paying ? ["instalments paid"] : []), "done", "sent", "received"];
  const rows = run.where.map((each) => {
    const point = run.latest[each.party];
    const told = point ? [`${figure(point.done)} of ${figure(point.total)}`, bytes(point.sent), bytes(point.received)] : ["", "", ""];
    const over = each.state === "ended";
    return [each.party, partyState(each), over ? "" : each.phase, ...(paying ? [String(each.instalments || "")] : []), ...told];
  });
  const used = header.map((_, at) => at < 2 || rows.some((row) => row[at] !== "")); // no column of nothing
  const kept = (row) => row.filter((_, at) => used[at]);
  return grid(`where each party is in the run of ${run.operation}`, kept(header), rows.map(kept));
}

function partyState(each) {
  const kind = { ended: "good", lost: "bad" }[each.state] ?? "quiet";
  const more = each.state === "waiting" ? ` for ${each.waits_for.join(", ")}` : each.state === "lost" ? `: ${each.why}` : "";
  return h("span", { class: `privsdk-${kind}` }, PARTY_STATES[each.state] + more);
}

/** What an object's card holds: what was asked for, facts, tables. */
function card({ title, answers, facts, grids }) {
  const tables = (all) => all.map((each) => [h("h4", {}, each.caption), grid(each.caption, each.header, each.rows)]);
  return h("section", { "aria-label": title },
    h("h3", {}, title),
    tables(answers),
    h("table", {}, h("tbody", {}, facts.map(([label, text]) =>
      h("tr", {}, h("th", { scope: "row", class: "privsdk-label" }, label), h("td", {}, text))))),
    tables(grids));
}
