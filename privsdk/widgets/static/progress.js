// The run view: a run while it goes on, then what came of it.
export default {
  render({ model, el }) {
    const pressed = buttons(model, "facts");
    const stop = drawing(model, el, ["facts", "note"], () => {
      const followed = model.get("facts");
      if (!followed.run) return h("p", {}, "Looking at the run ...");
      return [followed.result && card(followed.result), running(followed, model.get("note"), pressed.ask)];
    });
    return () => {
      stop();
      pressed.close();
    };
  },
};
