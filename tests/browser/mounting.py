"""A view's ES module in a page, with a fake model in place of anywidget's and a theme in place of JupyterLab's."""

from __future__ import annotations

from collections.abc import Callable

from playwright.sync_api import Page

# What anywidget gives a view: a model with get, set, save_changes, on, off and send; here every call is kept, too.
FAKE = """
async ([source, css, state, theme]) => {
  document.head.replaceChildren(Object.assign(document.createElement("style"), { textContent: theme + css }));
  const listeners = {}, sent = [], saved = [];
  const model = {
    get: (name) => state[name],
    set: (name, value) => { state[name] = value; (listeners[`change:${name}`] ?? []).slice().forEach((f) => f()); },
    save_changes: () => saved.push(structuredClone(state)),
    on: (name, f) => (listeners[name] ??= []).push(f),
    off: (name, f) => { listeners[name] = (listeners[name] ?? []).filter((g) => g !== f); },
    send: (content) => sent.push(content),
    listeners: () => Object.values(listeners).flat().length,
    sent, saved, state,
  };
  const url = URL.createObjectURL(new Blob([source], { type: "text/javascript" }));
  const { default: view } = await import(url);
  const el = document.createElement("main");
  document.body.replaceChildren(el);
  window.model = model;
  window.unmount = await view.render({ model, el });
}
"""
LIGHT = (
    "body{background:#fff;color:#000;--jp-layout-color1:#fff;--jp-ui-font-color1:#212121;--jp-border-color1:#bdbdbd}"
)
DARK = (
    "body{background:#111;color:#fff;--jp-layout-color1:#111;--jp-ui-font-color1:#fff;--jp-border-color1:#616161;"
    "--jp-brand-color1:#2196f3;--jp-layout-color3:#616161;--jp-error-color1:#ef5350;--jp-success-color1:#66bb6a;"
    "--jp-warn-color1:#ffb74d}"
)
Mount = Callable[..., Page]
