"""How long a page takes from a changed state to the frame that shows it."""

from __future__ import annotations

# Sets traits as news from the kernel does, and waits until the next frame has been painted; milliseconds.
UPDATE = """
async (changes) => {
  const began = performance.now();
  for (const [name, value] of Object.entries(changes)) model.set(name, value);
  await new Promise((done) => requestAnimationFrame(() => {
    const { port1, port2 } = new MessageChannel();
    port1.onmessage = done;
    port2.postMessage(null);
  }));
  return performance.now() - began;
}
"""
