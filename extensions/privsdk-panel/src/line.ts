// The line to one kernel: what privsdk tells there goes to the model, what the panel wants goes back.
//
// There is one comm for each kernel, under a name that both ends know (privsdk/client/kernel.py). It is never opened
// or closed by message, so that kernels without privsdk log nothing; pages say hello when they look, and goodbye.

import type { Kernel, KernelMessage } from '@jupyterlab/services';
import type { All, Model, Wish } from './model';
import { edited } from './view';

const NAME = 'privsdk.panel';
const VISITS = 'privsdk.visits';
const SETTLED_MS = 1000;

type Told = { kind: 'here' } | { kind: 'whole'; serial: number; all: All } | { kind: 'edits'; serial: number; edits: unknown[][] };

export class Line {
  constructor(
    private readonly kernel: Kernel.IKernelConnection,
    private readonly model: Model,
    private readonly page: string
  ) {}

  /** Begin to look, or look again; `running` where a cell of the notebook is known to run. */
  look(running: boolean): void {
    this.looking = true;
    this.visit = nextVisit();
    this.kernel.iopubMessage.connect(this.onMessage, this);
    this.kernel.statusChanged.connect(this.onStatus, this);
    this.kernel.connectionStatusChanged.connect(this.onConnection, this);
    this.heard = running;
    this.model.set({ busy: running || this.kernel.status !== 'idle' });
    this.attach();
  }

  /** Look no more. The comm goes once the kernel has heard it, and its subshell with it. */
  leave(): void {
    this.looking = false;
    this.kernel.iopubMessage.disconnect(this.onMessage, this);
    this.kernel.statusChanged.disconnect(this.onStatus, this);
    this.kernel.connectionStatusChanged.disconnect(this.onConnection, this);
    const comm = this.comm;
    if (!comm || comm.isDisposed) {
      return;
    }
    comm.onMsg = () => undefined;
    const dispose = async () => {
      await settled(comm);
      if (!this.looking) {
        comm.dispose();
      }
    };
    if (this.said && this.kernel.status !== 'dead') {
      this.greeted = this.said = false;
      comm.send({ kind: 'bye', page: this.page, visit: this.visit }).done.then(dispose, dispose);
    } else {
      void dispose();
    }
  }

  /** Pass a wish on to the kernel. */
  tell(wish: Wish): void {
    if (wish.kind === 'interrupt') {
      void this.kernel.interrupt();
    } else if (this.comm && !this.comm.isDisposed) {
      this.comm.send(wish);
    }
  }

  private attach(): void {
    this.greeted = this.here = false;
    this.model.set({ stale: false, direct: false });
    if (this.model.get('kernel') !== 'here') {
      this.model.set({ kernel: 'asking', all: null });
    }
    if (!this.kernel.handleComms) {
      this.model.set({ kernel: 'shared' });
      return;
    }
    if (!this.comm || this.comm.isDisposed) {
      this.comm = this.kernel.createComm(NAME, NAME);
    }
    const comm = this.comm;
    comm.onMsg = message => this.take(message.content.data as unknown as Told);
    subshell(comm)?.then(
      () => {
        if (this.looking && comm === this.comm) {
          this.model.set({ direct: true });
          if (!this.here && this.model.get('busy')) {
            this.hello(); // the question below is answered when the cell has ended
          }
        }
      },
      () => undefined // without a subshell messages wait for the cell
    );
    void this.ask(comm);
  }

  private async ask(comm: Kernel.IComm): Promise<void> {
    let known = false;
    try {
      const reply = await this.kernel.requestCommInfo({ target_name: NAME });
      known = reply.content.status === 'ok' && NAME in reply.content.comms;
    } catch {
      return; // the kernel went away: whoever follows it knows
    }
    if (!this.looking || comm !== this.comm || comm.isDisposed) {
      return;
    }
    if (known && !this.greeted) {
      this.hello();
    } else if (!known && !this.here) {
      this.greeted = false;
      this.model.set({ kernel: 'silent', all: null });
    }
  }

  private hello(): void {
    this.greeted = this.said = true;
    this.comm!.send({ kind: 'hello', page: this.page, visit: this.visit });
  }

  private take(told: Told): void {
    if (told.kind === 'whole') {
      this.serial = told.serial;
      this.here = true;
      this.model.set({ kernel: 'here', all: told.all, stale: false });
    } else if (told.kind === 'edits' && this.here && told.serial === this.serial + 1) {
      this.serial = told.serial;
      this.model.set({ all: edited(this.model.get('all'), told.edits) });
    } else if (told.kind === 'here' || !this.greeted) {
      this.hello();
    } else if (this.here && !this.model.get('stale')) {
      this.model.set({ stale: true });
      this.hello();
    }
  }

  private onMessage(_: unknown, message: KernelMessage.IIOPubMessage): void {
    const parent = message.parent_header as { msg_type?: string };
    if (message.header.msg_type === 'status' && parent.msg_type === 'execute_request') {
      const status = message as KernelMessage.IStatusMsg;
      this.heard = true;
      this.model.set({ busy: status.content.execution_state === 'busy' });
    }
  }

  private onStatus(_: unknown, status: Kernel.Status): void {
    if (status === 'idle' && !this.heard) {
      this.model.set({ busy: false });
    } else if (status === 'restarting' || status === 'autorestarting' || status === 'dead') {
      this.heard = false;
      this.model.set({ busy: false, kernel: status === 'dead' ? 'none' : 'asking', all: null });
    }
  }

  private onConnection(_: unknown, status: Kernel.ConnectionStatus): void {
    if (status === 'connected') {
      this.attach();
    }
  }

  private comm: Kernel.IComm | null = null;
  private looking = false;
  /** Each look has a number: the kernel may hear its goodbye before its hello, which then went by the main shell, or
   * after the hello of the next. */
  private visit = 0;
  /** Said hello on this comm. */
  private greeted = false;
  /** Said hello in this look, also before the connection was lost. */
  private said = false;
  /** Was told all on this comm. */
  private here = false;
  private serial = -1;
  /** A cell was heard to begin or end; before that all there is to go by is the kernel's own status. */
  private heard = false;
}

/** The number of this tab's next visit, which goes on from the last also where the page was loaded again. */
function nextVisit(): number {
  const visit = Number(sessionStorage.getItem(VISITS)) + 1;
  sessionStorage.setItem(VISITS, String(visit));
  return visit;
}

/** Resolves when a comm has a subshell of its own; undefined in a JupyterLab that gives it none. */
function subshell(comm: Kernel.IComm): Promise<void> | undefined {
  return (comm as { subshellStarted?: Promise<void> }).subshellStarted;
}

/** Wait until a comm has its subshell, or gets none: one that goes before would take that of its successor with it. */
async function settled(comm: Kernel.IComm): Promise<void> {
  const waited = new Promise<void>(resolve => setTimeout(resolve, SETTLED_MS));
  await Promise.race([subshell(comm) ?? waited, waited]).catch(() => undefined);
}
