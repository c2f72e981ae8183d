import type { Model } from './model';

declare const view: { render(context: { model: Model; el: HTMLElement }): () => void };
export default view;
export function edited<T>(value: T, edits: unknown[][]): T;
