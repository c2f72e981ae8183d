// Finds the tutorials among the files of this Jupyter server, and opens the one that is chosen.

import type { JupyterFrontEnd } from '@jupyterlab/application';
import { Dialog, InputDialog, showDialog } from '@jupyterlab/apputils';
import type { Contents } from '@jupyterlab/services';

const FOLDER = 'notebooks'; // of a clone; `make lab` starts in it
const TUTORIAL = /^\d\d_\w+\.ipynb$/;

export async function openTutorial(app: JupyterFrontEnd): Promise<void> {
  const files = await filesIn(app, '');
  if (files.some(file => file.name === FOLDER && file.type === 'directory')) {
    files.push(...(await filesIn(app, FOLDER)));
  }
  const paths = files.filter(file => TUTORIAL.test(file.name)).map(file => file.path).sort();
  if (!paths.length) {
    await showDialog({
      title: 'No tutorials here',
      body: 'They are in the folder "notebooks" of the privsdk repository. In a clone of it, "make lab" opens JupyterLab beside them.',
      buttons: [Dialog.okButton()]
    });
    return;
  }
  const titles = paths.map(title);
  const { value } = await InputDialog.getItem({ title: 'Open a tutorial', items: titles, okLabel: 'Open' });
  const chosen = paths[titles.indexOf(value ?? '')];
  if (chosen) {
    await app.commands.execute('docmanager:open', { path: chosen, factory: 'Notebook' });
  }
}

async function filesIn(app: JupyterFrontEnd, path: string): Promise<Contents.IModel[]> {
  return [...(await app.serviceManager.contents.get(path, { content: true })).content];
}

/** "03 fedavg non iid" for "notebooks/03_fedavg_non_iid.ipynb". */
function title(path: string): string {
  return path.replace(/^.*\//, '').replace('.ipynb', '').replaceAll('_', ' ');
}
