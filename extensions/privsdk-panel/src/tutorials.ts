// Finds the tutorials among the files of this Jupyter server, and opens the one that is chosen.

import type { JupyterFrontEnd } from '@jupyterlab/application';
import { Dialog, InputDialog, showDialog } from '@jupyterlab/apputils';

const PLACES = ['', 'notebooks']; // `make lab` starts in the first; a server at the root of a clone has the second
const TUTORIAL = /^\d\d_\w+\.ipynb$/;

export async function openTutorial(app: JupyterFrontEnd): Promise<void> {
  const paths = (await Promise.all(PLACES.map(place => tutorialsIn(app, place)))).flat();
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

async function tutorialsIn(app: JupyterFrontEnd, place: string): Promise<string[]> {
  try {
    const folder = await app.serviceManager.contents.get(place, { content: true });
    const files = folder.content as { name: string; path: string }[];
    return files.filter(file => TUTORIAL.test(file.name)).map(file => file.path).sort();
  } catch {
    return []; // there is no such folder
  }
}

/** "03 fedavg non iid" for "notebooks/03_fedavg_non_iid.ipynb". */
function title(path: string): string {
  return path.replace(/^.*\//, '').replace('.ipynb', '').replaceAll('_', ' ');
}
