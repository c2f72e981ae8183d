// Puts code into the notebook that is worked in, or into a new one where there is none.

import type { JupyterFrontEnd } from '@jupyterlab/application';
import { NotebookActions, type INotebookTracker, type NotebookPanel } from '@jupyterlab/notebook';

/** Into the active cell if that is empty, below it otherwise; nothing is run. */
export async function insert(app: JupyterFrontEnd, tracker: INotebookTracker, code: string): Promise<void> {
  const panel = tracker.currentWidget ?? ((await app.commands.execute('notebook:create-new', {})) as NotebookPanel);
  await panel.context.ready;
  const notebook = panel.content;
  const cell = notebook.activeCell;
  if (!cell || cell.model.type !== 'code' || cell.model.sharedModel.source.trim()) {
    NotebookActions.insertBelow(notebook);
  }
  notebook.activeCell?.model.sharedModel.setSource(code);
  app.shell.activateById(panel.id);
  notebook.activate();
}
