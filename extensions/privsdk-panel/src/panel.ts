// The side panel: a place for the view, which looks only while it is to be seen.

import { LabIcon } from '@jupyterlab/ui-components';
import { Widget } from '@lumino/widgets';
import type { Follower } from './follower';
import type { Model } from './model';
import view from './view';

/** Three owners, each with an own store, and what they compute in their midst. */
export const icon = new LabIcon({
  name: 'privsdk:panel',
  svgstr: `<svg xmlns="http://www.w3.org/2000/svg" width="16" height="16" viewBox="0 0 16 16">
<g class="jp-icon3" fill="#616161">
<circle cx="8" cy="2.9" r="2.3"/><circle cx="2.9" cy="12.2" r="2.3"/><circle cx="13.1" cy="12.2" r="2.3"/><circle cx="8" cy="9" r="1.6"/>
</g>
<g class="jp-icon3" stroke="#616161" stroke-width="1.1" fill="none"><path class="jp-icon3" stroke="#616161" d="M8 5v3M4.8 11l2-1.2M11.2 11l-2-1.2"/></g>
</svg>`
});

export class Panel extends Widget {
  constructor(
    model: Model,
    private readonly follower: Follower
  ) {
    super();
    this.id = 'privsdk-panel';
    this.title.icon = icon;
    this.title.caption = 'privsdk: parties, budgets, runs and audits';
    this.node.setAttribute('role', 'region');
    this.node.setAttribute('aria-label', 'privsdk');
    this.node.tabIndex = -1;
    this.end = view.render({ model, el: this.node });
  }

  dispose(): void {
    this.follower.leave();
    this.end();
    super.dispose();
  }

  protected onAfterAttach(): void {
    if (this.isVisible) {
      this.follower.look();
    }
  }

  protected onAfterShow(): void {
    this.follower.look();
  }

  protected onAfterHide(): void {
    this.follower.leave();
  }

  protected onBeforeDetach(): void {
    this.follower.leave();
  }

  private readonly end: () => void;
}
