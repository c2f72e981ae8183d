// Follows the notebook that is worked in, and keeps a line to its kernel while somebody looks.

import type { ICodeCellModel } from '@jupyterlab/cells';
import type { INotebookTracker, NotebookPanel } from '@jupyterlab/notebook';
import type { Kernel } from '@jupyterlab/services';
import { Line } from './line';
import type { Model, Wish } from './model';

const PAGE = 'privsdk.page';

export class Follower {
  constructor(
    private readonly tracker: INotebookTracker,
    private readonly model: Model
  ) {
    window.addEventListener('pagehide', () => this.hide());
  }

  look(): void {
    if (!this.looking) {
      this.looking = true;
      this.tracker.currentChanged.connect(this.follow, this);
      this.follow();
    }
  }

  /** What is known stays in the model, for when somebody looks again. */
  leave(): void {
    if (this.looking) {
      this.looking = false;
      this.tracker.currentChanged.disconnect(this.follow, this);
      this.drop();
    }
  }

  tell(wish: Wish): void {
    this.line?.tell(wish);
  }

  private follow(): void {
    this.drop();
    this.notebook = this.tracker.currentWidget;
    this.notebook?.sessionContext.kernelChanged.connect(this.listen, this);
    this.notebook?.title.changed.connect(this.named, this);
    this.named();
    this.listen();
  }

  private drop(): void {
    this.notebook?.sessionContext.kernelChanged.disconnect(this.listen, this);
    this.notebook?.title.changed.disconnect(this.named, this);
    this.notebook = null;
    this.line?.leave();
    this.line = null;
  }

  private named(): void {
    this.model.set({ notebook: this.notebook?.title.label ?? '' });
  }

  private listen(): void {
    this.line?.leave();
    this.line = null;
    const kernel = this.notebook?.sessionContext.session?.kernel ?? null;
    if (kernel !== this.kernel || !kernel) {
      this.model.set({ kernel: kernel ? 'asking' : 'none', busy: false, all: null });
    }
    this.kernel = kernel;
    if (kernel) {
      this.line = this.lines.get(kernel) ?? new Line(kernel, this.model, this.page);
      this.lines.set(kernel, this.line);
      this.line.look(this.running());
    }
  }

  private running(): boolean {
    const cells = this.notebook?.content.widgets ?? [];
    return cells.some(({ model }) => model.type === 'code' && (model as ICodeCellModel).executionState === 'running');
  }

  /** The page goes. If it comes again while the same cell runs, it can say nothing: so it says no goodbye either. */
  private hide(): void {
    if (!this.model.get('busy')) {
      this.line?.leave();
    }
  }

  private readonly page = pageName();
  private readonly lines = new WeakMap<Kernel.IKernelConnection, Line>();
  private looking = false;
  private notebook: NotebookPanel | null = null;
  /** What the model is about. */
  private kernel: Kernel.IKernelConnection | null = null;
  private line: Line | null = null;
}

/** What this tab is called by; the same after it was reloaded. */
function pageName(): string {
  const kept = sessionStorage.getItem(PAGE);
  const name = kept ?? crypto.getRandomValues(new Uint32Array(2)).join('-');
  sessionStorage.setItem(PAGE, name);
  return name;
}
