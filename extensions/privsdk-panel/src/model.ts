// What the panel's view draws, and where its buttons' wishes go. The same face as the model of an anywidget view.

/** What privsdk/widgets/panel.py tells; the view knows the rest of it. */
export interface All {
  federations: unknown[];
}

export interface State {
  /** Name of the notebook that is followed; "" where there is none. */
  notebook: string;
  /** Whether it has a kernel, whether that is being asked, whether privsdk is in it. */
  kernel: 'none' | 'asking' | 'silent' | 'shared' | 'here';
  /** A cell is running. */
  busy: boolean;
  /** The kernel hears what the page says while a cell is running. */
  direct: boolean;
  /** News was lost on the way. */
  stale: boolean;
  all: All | null;
  /** A cell that opens a federation. */
  example: string;
}

/** What a button of the view wants. */
export type Wish =
  | { kind: 'refresh' | 'verify' | 'interrupt' }
  | { kind: 'stop' | 'cancel'; run: string }
  | { kind: 'do'; what: 'import' | 'open' | 'tutorial' };

export class Model {
  constructor(
    private state: State,
    readonly send: (wish: Wish) => void
  ) {}

  get<Name extends keyof State>(name: Name): State[Name] {
    return this.state[name];
  }

  /** Take these over, and have what changed drawn; `all` is changed in place and counts as changed whenever it is named. */
  set(changes: Partial<State>): void {
    const names = (Object.keys(changes) as (keyof State)[]).filter(
      name => name === 'all' || changes[name] !== this.state[name]
    );
    this.state = { ...this.state, ...changes };
    for (const name of names) {
      [...(this.listeners.get(`change:${name}`) ?? [])].forEach(listener => listener());
    }
  }

  on(event: string, listener: () => void): void {
    this.listeners.set(event, [...(this.listeners.get(event) ?? []), listener]);
  }

  off(event: string, listener: () => void): void {
    this.listeners.set(event, (this.listeners.get(event) ?? []).filter(each => each !== listener));
  }

  private readonly listeners = new Map<string, (() => void)[]>();
}
