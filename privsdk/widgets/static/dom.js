// What all views share: elements from plain values, an update that keeps the reader's place, figures as text.
// Text is always set as text: nothing that a party sends is ever read as HTML.

/** An HTML element. `on...` are listeners, `true` sets an empty attribute, `false` and null leave it out. */
function h(tag, attributes = {}, ...children) {
  return filled(document.createElement(tag), attributes, children);
}

/** An SVG element. */
function svg(tag, attributes = {}, ...children) {
  return filled(document.createElementNS("http://www.w3.org/2000/svg", tag), attributes, children);
}

function filled(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === false || value === null || value === undefined) continue;
    if (name.startsWith("on")) element[name] = value;
    else element.setAttribute(name, value === true ? "" : String(value));
  }
  element.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

/** Make `element`'s children equal to those of `wanted`, in place: focus, scrolling and what is open stay. */
function morph(element, wanted) {
  const old = [...element.childNodes];
  const fresh = [...wanted.childNodes];
  fresh.forEach((node, at) => {
    const present = old[at];
    if (present === undefined) element.append(node);
    else if (!alike(present, node)) present.replaceWith(node);
    else if (node.nodeType === Node.TEXT_NODE) {
      if (present.data !== node.data) present.data = node.data;
    } else {
      adopt(present, node);
      morph(present, node);
      if (present.nodeName === "SELECT" && present.value !== node.value) present.value = node.value;
    }
  });
  old.slice(fresh.length).forEach((node) => node.remove());
}

function alike(one, other) {
  return one.nodeName === other.nodeName && (one.id ?? "") === (other.id ?? "") && one.dataset?.key === other.dataset?.key;
}

const LISTENERS = ["onclick", "oninput", "onchange", "onkeydown", "ontoggle", "onfocus"];

function adopt(present, node) {
  const kept = present.nodeName === "DETAILS" ? ["open"] : []; // what the reader has opened stays open
  for (const { name } of [...present.attributes]) {
    if (!node.hasAttribute(name) && !kept.includes(name)) present.removeAttribute(name);
  }
  for (const { name, value } of [...node.attributes]) {
    if (!kept.includes(name) && present.getAttribute(name) !== value) present.setAttribute(name, value);
  }
  for (const name of LISTENERS) present[name] = node[name];
  if (present.nodeName === "INPUT") {
    present.checked = node.hasAttribute("checked");
    if (present !== document.activeElement && node.hasAttribute("value")) present.value = node.getAttribute("value");
  }
}

/** Draw now and at every change of these traits; returns what ends it, for a view's `render` to return. */
function drawing(model, el, traits, draw) {
  const root = el.classList.contains("privsdk") ? el : el.appendChild(h("div", { class: "privsdk" }));
  const redraw = () => morph(root, h("div", {}, draw()));
  const events = traits.map((trait) => `change:${trait}`);
  events.forEach((event) => model.on(event, redraw));
  redraw();
  return () => events.forEach((event) => model.off(event, redraw));
}

/** A table with a caption that screen readers read out; cells are text or elements. */
function grid(caption, header, rows, { shown = false } = {}) {
  return h(
    "table",
    {},
    h("caption", { class: shown ? "" : "privsdk-unseen" }, caption),
    h("thead", {}, h("tr", {}, header.map((text) => h("th", { scope: "col" }, text)))),
    h("tbody", {}, rows.map((cells) => h("tr", {}, cells.map((cell) => h("td", {}, cell))))),
  );
}

/** 1234567 as "1.2 MB". */
function bytes(count) {
  const units = ["B", "kB", "MB", "GB", "TB"];
  const power = count < 1000 ? 0 : Math.min(units.length - 1, Math.floor(Math.log10(count) / 3));
  return `${(count / 1000 ** power).toFixed(power ? 1 : 0)} ${units[power]}`;
}

/** Seconds as "0.3 s", "42 s" or "3 min 5 s". */
function duration(seconds) {
  if (seconds < 10) return `${seconds.toFixed(1)} s`;
  if (seconds < 60) return `${Math.round(seconds)} s`;
  return `${Math.floor(seconds / 60)} min ${Math.round(seconds % 60)} s`;
}

/** A number in at most four digits. */
function figure(value) {
  if (!Number.isFinite(value)) return String(value);
  if (Number.isInteger(value) && Math.abs(value) < 1e6) return value.toLocaleString("en");
  return Number(value.toPrecision(4)).toString();
}

/** Interrupt a kernel of this Jupyter server, as the button in the toolbar does; resolves to whether that could be done. */
async function interrupt(kernel) {
  try {
    const config = JSON.parse(document.getElementById("jupyter-config-data")?.textContent ?? "{}");
    const xsrf = document.cookie.match(/(?:^|; )_xsrf=([^;]+)/)?.[1] ?? "";
    const headers = { "X-XSRFToken": xsrf, ...(config.token ? { Authorization: `token ${config.token}` } : {}) };
    const url = new URL(`${config.baseUrl ?? "/"}api/kernels/${encodeURIComponent(kernel)}/interrupt`, location.href);
    return (await fetch(url, { method: "POST", headers, credentials: "same-origin" })).ok;
  } catch {
    return false;
  }
}

/** Keys within a list that is one stop of Tab: arrows, Home and End move among its elements marked `data-stop`. */
function moving(event, extra = () => {}) {
  const all = [...event.currentTarget.querySelectorAll("[data-stop]")];
  const at = all.indexOf(event.target);
  if (at < 0 || event.ctrlKey || event.altKey || event.metaKey) return;
  const to = { ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: all.length - 1 }[event.key];
  if (to === undefined) return extra(event);
  event.preventDefault();
  all[Math.max(0, Math.min(all.length - 1, to))].focus();
}

/** Put text on the clipboard; where the page may not, select it in `element` for the reader to copy. */
async function copied(text, element) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    getSelection().selectAllChildren(element);
    return document.execCommand("copy");
  }
}
