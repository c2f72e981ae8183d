// The extension: one panel, and its commands in the palette.

import { ILayoutRestorer, type JupyterFrontEnd, type JupyterFrontEndPlugin } from '@jupyterlab/application';
import { ICommandPalette } from '@jupyterlab/apputils';
import { INotebookTracker } from '@jupyterlab/notebook';
import { insert } from './cells';
import { Follower } from './follower';
import { Model, type Wish } from './model';
import { Panel } from './panel';
import snippets from './snippets.json';
import { openTutorial } from './tutorials';

const CATEGORY = 'privsdk';

const plugin: JupyterFrontEndPlugin<void> = {
  id: 'privsdk-panel:plugin',
  description: 'Parties, budgets, runs and audits of the active notebook.',
  autoStart: true,
  requires: [INotebookTracker],
  optional: [ICommandPalette, ILayoutRestorer],
  activate: (
    app: JupyterFrontEnd,
    tracker: INotebookTracker,
    palette: ICommandPalette | null,
    restorer: ILayoutRestorer | null
  ) => {
    const take = (wish: Wish) => {
      if (wish.kind !== 'do') {
        follower.tell(wish);
      } else if (wish.what === 'tutorial') {
        void openTutorial(app);
      } else {
        void insert(app, tracker, wish.what === 'open' ? text('open') : 'import privsdk as ps');
      }
    };
    const model = new Model(
      { notebook: '', kernel: 'none', busy: false, direct: false, stale: false, all: null, example: text('open') },
      take
    );
    const follower = new Follower(tracker, model);
    const panel = new Panel(model, follower);
    app.shell.add(panel, 'right', { rank: 700 });
    restorer?.add(panel, panel.id);

    const offer = (command: string, label: string, execute: () => unknown) => {
      app.commands.addCommand(command, {
        label,
        execute,
        describedBy: { args: { type: 'object', properties: {} } }
      });
      palette?.addItem({ command, category: CATEGORY });
    };
    offer('privsdk:show-panel', 'Show the privsdk panel', () => app.shell.activateById(panel.id));
    offer('privsdk:verify-audits', 'Verify the audits of all open federations', () => {
      app.shell.activateById(panel.id);
      follower.tell({ kind: 'verify' });
    });
    offer('privsdk:open-tutorial', 'Open a tutorial', () => openTutorial(app));
    for (const [name, snippet] of Object.entries(snippets)) {
      offer(`privsdk:insert-${name}`, snippet.label, () => insert(app, tracker, snippet.code.join('\n')));
    }
  }
};

function text(name: keyof typeof snippets): string {
  return snippets[name].code.join('\n');
}

export default plugin;
