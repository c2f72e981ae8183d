"use strict";(self.rspackChunkprivsdk_panel=self.rspackChunkprivsdk_panel||[]).push([[812],{920(r,i,p){var e=p(601),t=p.n(e),a=p(314),d=(p.n(a))()(t());d.push([r.id,`/* JupyterLab's own theme variables, so that light and dark are the reader's; elsewhere what the page has. */
.privsdk {
  --privsdk-line: var(--jp-border-color1, #8886);
  --privsdk-text: var(--jp-ui-font-color1, inherit);
  --privsdk-quiet: var(--jp-ui-font-color1, inherit);
  --privsdk-accent: var(--jp-brand-color1, #1976d2);
  /* JupyterLab's own are too pale for text on its own ground: with some of the text's colour they reach 4.5 to 1. */
  --privsdk-good: color-mix(in srgb, var(--jp-success-color1, #2e7d32) 70%, currentcolor);
  --privsdk-warn: color-mix(in srgb, var(--jp-warn-color1, #b45309) 45%, currentcolor);
  --privsdk-bad: color-mix(in srgb, var(--jp-error-color1, #c62828) 70%, currentcolor);
  --privsdk-field: var(--jp-layout-color1, transparent);
  --privsdk-track: var(--jp-layout-color3, #8884);
  border: 1px solid var(--privsdk-line);
  border-radius: 6px;
  padding: 10px 14px;
  margin: 4px 0;
  max-width: 100%;
  box-sizing: border-box;
  overflow-x: auto;
  color: var(--privsdk-text);
  font: 13px/1.5 var(--jp-ui-font-family, system-ui, sans-serif);
}
.privsdk h3 { font-size: 14px; font-weight: 600; margin: 0 0 6px; }
.privsdk h4 { font-size: 13px; font-weight: 600; margin: 10px 0 4px; }
.privsdk p { margin: 4px 0; }
.privsdk table { border: none; border-collapse: collapse; margin: 2px 0; color: inherit; font-size: inherit; }
.privsdk th, .privsdk td { text-align: left; vertical-align: top; padding: 1px 14px 1px 0; background: none; border: none; white-space: pre-wrap; }
.privsdk th { font-weight: 600; }
.privsdk button {
  font: inherit; color: inherit; background: var(--privsdk-field); cursor: pointer;
  border: 1px solid var(--privsdk-quiet); border-radius: 4px; padding: 3px 12px; margin: 2px 6px 2px 0;
}
.privsdk button.privsdk-main { background: color-mix(in srgb, var(--privsdk-accent) 75%, #000); border-color: var(--privsdk-accent); color: #fff; font-weight: 600; }
.privsdk button:disabled { opacity: 0.55; cursor: not-allowed; }
.privsdk figure { margin: 2px 18px 6px 0; }
.privsdk figcaption, .privsdk-hint { font-size: 12px; }
.privsdk progress { width: 100%; max-width: 420px; height: 8px; accent-color: var(--privsdk-accent); }
.privsdk meter { width: 130px; height: 12px; vertical-align: middle; }
.privsdk-side { display: flex; flex-wrap: wrap; align-items: flex-start; }
.privsdk-badge { font-size: 12px; border: 1px solid currentColor; border-radius: 9px; padding: 0 8px; margin-left: 6px; }
:where(.privsdk:not(.privsdk-panel)) .privsdk-note { border-left: 3px solid; padding: 2px 10px; margin: 6px 0; color: inherit; }
.privsdk-note.privsdk-bad { border-color: var(--privsdk-bad); color: inherit; }
.privsdk-note.privsdk-warn { border-color: var(--privsdk-warn); color: inherit; }
div.privsdk-left { display: grid; grid-template-columns: minmax(80px, auto) 130px auto; gap: 10px; align-items: center; }
.privsdk section + section { margin-top: 14px; }
.privsdk-figures td { white-space: nowrap; }
.privsdk pre { white-space: pre-wrap; font-size: 12px; margin: 4px 0; color: inherit; background: none; }
th.privsdk-label { font-weight: 500; }
.privsdk-axis { font-size: 11px; fill: currentColor; }
.privsdk-axis-line { stroke: var(--privsdk-line); }
polyline.privsdk-line { fill: none; stroke: var(--privsdk-accent); stroke-width: 2; stroke-linejoin: round; }
.privsdk-dot { fill: var(--privsdk-accent); }
.privsdk-slide input { width: 100%; max-width: 420px; display: block; accent-color: var(--privsdk-accent); }
.privsdk-ends { display: flex; justify-content: space-between; max-width: 420px; font-size: 12px; }
.privsdk-stale { opacity: 0.6; }
.privsdk-consent { border: 1px solid var(--privsdk-accent); border-radius: 6px; padding: 4px 12px; margin: 8px 0; }
circle.privsdk-outcome { fill: var(--privsdk-accent); fill-opacity: 0.65; }
.privsdk-true { stroke: currentColor; stroke-width: 2; }
.privsdk :focus-visible { outline: 2px solid var(--privsdk-accent); outline-offset: 2px; }
.privsdk-good { color: var(--privsdk-good); }
.privsdk-warn { color: var(--privsdk-warn); }
.privsdk-bad { color: var(--privsdk-bad); }
.privsdk-unseen { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); white-space: nowrap; }
@media (prefers-reduced-motion: no-preference) { .privsdk [data-moves] { transition: width 0.15s; } }

/* The party picker and the budget view. */
.privsdk select { font: inherit; color: inherit; background: var(--privsdk-field); border: 1px solid var(--privsdk-quiet); border-radius: 4px; padding: 2px 6px; max-width: 100%; }
.privsdk option { color: var(--privsdk-text); background: var(--jp-layout-color1, Canvas); }
.privsdk-quiet { color: var(--jp-ui-font-color1, inherit); opacity: 0.78; }
label.privsdk-label { font-weight: 600; margin-right: 8px; }
.privsdk-pair { display: flex; flex-wrap: wrap; gap: 4px 28px; margin-top: 6px; }
.privsdk-pair > :first-child { flex: 1 1 220px; }
.privsdk-pair > :last-child { flex: 3 1 420px; min-width: 0; }
.privsdk-bar { display: flex; align-items: baseline; gap: 10px; }
.privsdk button.privsdk-small { padding: 0 8px; font-size: 12px; }
.privsdk ul.privsdk-list { list-style: none; margin: 0; padding: 0; }
.privsdk ul.privsdk-list > li { padding: 4px 0; border-top: 1px solid var(--privsdk-track); }
.privsdk label { cursor: pointer; }
.privsdk-off label { cursor: not-allowed; }
.privsdk input[type="checkbox"] { margin: 0 7px 0 1px; accent-color: var(--privsdk-accent); vertical-align: -1px; }
.privsdk-off input[type="checkbox"] { opacity: 0.4; }
.privsdk-name { font-weight: 600; overflow-wrap: anywhere; }
.privsdk-off .privsdk-name { font-weight: 400; opacity: 0.7; }
.privsdk-state { margin-left: 8px; }
.privsdk-list p.privsdk-hint { margin: 0 0 0 22px; }
.privsdk-pair section > p.privsdk-hint { margin: 4px 0 0; }
.privsdk-pair span.privsdk-hint { display: block; margin-left: 22px; font-weight: 400; }
.privsdk-empty { border: 1px dashed var(--privsdk-line); border-radius: 4px; padding: 10px 12px; }
.privsdk-scroll { max-height: 400px; overflow: auto; }
.privsdk table.privsdk-columns { width: 100%; }
.privsdk table.privsdk-columns thead th { position: sticky; top: 0; background: var(--jp-layout-color1, Canvas); z-index: 1; }
.privsdk table.privsdk-columns tbody tr { border-top: 1px solid var(--privsdk-track); }
.privsdk table.privsdk-columns th, .privsdk table.privsdk-columns td { padding: 3px 14px 3px 0; white-space: normal; }
.privsdk table.privsdk-columns tbody th { font-weight: 400; }
.privsdk table.privsdk-columns label { display: block; padding-left: 22px; }
.privsdk table.privsdk-columns input { margin-left: -21px; }
.privsdk tr.privsdk-why { border: none !important; }
.privsdk tr.privsdk-why > td { padding-left: 22px !important; }
.privsdk button.privsdk-link { border: none; background: none; padding: 0; margin: 0; text-decoration: underline dotted; font-size: 12px; white-space: nowrap; }
.privsdk-reason { border-left: 2px solid var(--privsdk-line); padding: 0 0 4px 10px; margin: 4px 0; }
.privsdk code, .privsdk pre { font-family: var(--jp-code-font-family, ui-monospace, monospace); font-size: 12px; background: var(--jp-layout-color2, #8882); color: inherit; border-radius: 3px; padding: 1px 4px; overflow-wrap: anywhere; white-space: pre-wrap; }
.privsdk pre.privsdk-code { padding: 6px 10px; margin: 2px 0; }
.privsdk pre.privsdk-code code { background: none; padding: 0; }
section.privsdk-outcome { border-top: 1px solid var(--privsdk-line); margin-top: 10px; padding-top: 4px; }
.privsdk-late { animation: privsdk-appear 0s 0.6s backwards; }
@keyframes privsdk-appear { from { visibility: hidden; } }
.privsdk-below { display: block; font-weight: 400; }
.privsdk-tall { max-height: 520px; }
.privsdk-short { max-height: 230px; }
.privsdk table.privsdk-budgets { width: 100%; table-layout: fixed; }
.privsdk table.privsdk-budgets tbody tr:not(.privsdk-limit) { border-top: 1px solid var(--privsdk-track); }
.privsdk table.privsdk-budgets th, .privsdk table.privsdk-budgets td { padding: 4px 18px 4px 0; }
.privsdk tr.privsdk-limit > * { font-weight: 400; font-size: 12px; padding-top: 0 !important; }
.privsdk tr.privsdk-limit > th { padding-left: 14px !important; }
:where(.privsdk:not(.privsdk-panel)) .privsdk-gauge { display: flex; height: 12px; margin-top: 4px; border-radius: 6px; overflow: hidden; background: var(--privsdk-track); }
.privsdk-gauge.privsdk-thin { height: 6px; margin: 0; flex: 1; }
div.privsdk-line { display: flex; align-items: center; gap: 10px; }
div.privsdk-line > span { min-width: 84px; }
.privsdk-key { font-size: 12px; }
.privsdk-part { flex: none; height: 100%; }
span.privsdk-left { background: var(--privsdk-accent); }
.privsdk-held { background: repeating-linear-gradient(135deg, var(--privsdk-accent) 0 4px, transparent 4px 7px); }
.privsdk-next { background: repeating-linear-gradient(90deg, var(--privsdk-warn) 0 3px, transparent 3px 5px); }
.privsdk-level-warn span.privsdk-left { background: var(--privsdk-warn); }
.privsdk-gauge.privsdk-level-bad { box-shadow: inset 0 0 0 2px var(--privsdk-bad); }
.privsdk-gauge.privsdk-frozen { opacity: 0.45; }
.privsdk-entry { display: inline-flex; align-items: center; gap: 5px; margin-right: 16px; }
.privsdk-swatch { width: 18px; height: 9px; border-radius: 3px; display: inline-block; }
.privsdk-swatch.privsdk-spent { background: var(--privsdk-track); }
.privsdk-plain { border-color: var(--privsdk-accent); }
.privsdk-big { font-size: 17px; }

/* The panel is narrow and as high as the window. Colours are those of the widgets (privsdk.css), which comes before. */
.privsdk.privsdk-panel {
  border: none; border-radius: 0; margin: 0; padding: 10px 12px 24px; min-width: 220px; height: 100%; overflow: auto;
  background: var(--jp-layout-color1, transparent);
}
.privsdk-panel .privsdk-heading { border-bottom: 1px solid var(--privsdk-line); padding-bottom: 8px; margin-bottom: 8px; }
.privsdk-panel h2 { font-size: 15px; font-weight: 600; margin: 0; }
.privsdk-panel h3 { margin: 4px 0; overflow-wrap: anywhere; }
.privsdk-panel h4 { margin: 12px 0 4px; }
.privsdk-panel p { margin: 2px 0; overflow-wrap: anywhere; }
.privsdk-panel ul { list-style: none; margin: 0; padding: 0; }
.privsdk-panel li { margin: 0 0 8px; }
.privsdk-panel pre {
  font: 12px/1.45 var(--jp-code-font-family, monospace); background: var(--jp-layout-color2, #8882);
  padding: 6px 8px; border-radius: 4px; overflow-x: auto; margin: 6px 0;
}
.privsdk-panel summary { cursor: pointer; margin: 8px 0 4px; font-weight: 600; }
.privsdk-panel table { font-size: 12px; width: 100%; }
.privsdk-panel td, .privsdk-panel th { padding-right: 8px; overflow-wrap: anywhere; }
.privsdk-panel .privsdk-file { font-weight: 600; }
.privsdk-panel .privsdk-note, .privsdk-panel .privsdk-kernel { font-size: 12px; }
.privsdk-panel .privsdk-actions { margin: 6px 0 2px; }
.privsdk-panel .privsdk-mark { font-size: 10px; }
.privsdk-panel .privsdk-federation + .privsdk-federation { border-top: 1px solid var(--privsdk-line); margin-top: 16px; padding-top: 8px; }
.privsdk-panel .privsdk-run { border: 1px solid var(--privsdk-line); border-radius: 6px; padding: 6px 10px; margin: 4px 0 8px; }
.privsdk-panel .privsdk-gauge { display: flex; flex-wrap: wrap; justify-content: space-between; column-gap: 8px; font-size: 12px; margin: 2px 0; }
.privsdk-panel .privsdk-figure { font-variant-numeric: tabular-nums; font-size: 12px; }
.privsdk-panel .privsdk-track { flex-basis: 100%; height: 6px; border-radius: 3px; background: var(--privsdk-track); overflow: hidden; margin: 2px 0; }
.privsdk-panel .privsdk-fill { height: 100%; background: var(--privsdk-accent); border-radius: 3px; }
.privsdk-panel .privsdk-fill.privsdk-low { background: var(--privsdk-bad); }
.privsdk-panel .privsdk-curve svg { display: block; width: 100%; height: 40px; stroke: var(--privsdk-accent); stroke-width: 1.5; }
`,""]),p.d(i,{},{A:d})},314(r){r.exports=function(r){var i=[];return i.toString=function(){return this.map(function(i){var p="",e=void 0!==i[5];return i[4]&&(p+="@supports (".concat(i[4],") {")),i[2]&&(p+="@media ".concat(i[2]," {")),e&&(p+="@layer".concat(i[5].length>0?" ".concat(i[5]):""," {")),p+=r(i),e&&(p+="}"),i[2]&&(p+="}"),i[4]&&(p+="}"),p}).join("")},i.i=function(r,p,e,t,a){"string"==typeof r&&(r=[[null,r,void 0]]);var d={};if(e)for(var n=0;n<this.length;n++){var o=this[n][0];null!=o&&(d[o]=!0)}for(var s=0;s<r.length;s++){var l=[].concat(r[s]);e&&d[l[0]]||(void 0!==a&&(void 0===l[5]||(l[1]="@layer".concat(l[5].length>0?" ".concat(l[5]):""," {").concat(l[1],"}")),l[5]=a),p&&(l[2]&&(l[1]="@media ".concat(l[2]," {").concat(l[1],"}")),l[2]=p),t&&(l[4]?(l[1]="@supports (".concat(l[4],") {").concat(l[1],"}"),l[4]=t):l[4]="".concat(t)),i.push(l))}},i}},601(r){r.exports=function(r){return r[1]}},495(r,i,p){p.r(i);var e=p(72),t=p.n(e),a=p(825),d=p.n(a),n=p(659),o=p.n(n),s=p(56),l=p.n(s),v=p(540),c=p.n(v),k=p(113),x=p.n(k),u=p(920),g={};g.styleTagTransform=x(),g.setAttributes=l(),g.insert=o().bind(null,"head"),g.domAPI=d(),g.insertStyleElement=c(),t()(u.A,g);let f=u.A&&u.A.locals?u.A.locals:void 0;p.d(i,{},{default:f})},72(r){var i=[];function p(r){for(var p=-1,e=0;e<i.length;e++)if(i[e].identifier===r){p=e;break}return p}function e(r,e){for(var t={},a=[],d=0;d<r.length;d++){var n=r[d],o=e.base?n[0]+e.base:n[0],s=t[o]||0,l="".concat(o," ").concat(s);t[o]=s+1;var v=p(l),c={css:n[1],media:n[2],sourceMap:n[3],supports:n[4],layer:n[5]};if(-1!==v)i[v].references++,i[v].updater(c);else{var k=function(r,i){var p=i.domAPI(i);return p.update(r),function(i){i?(i.css!==r.css||i.media!==r.media||i.sourceMap!==r.sourceMap||i.supports!==r.supports||i.layer!==r.layer)&&p.update(r=i):p.remove()}}(c,e);e.byIndex=d,i.splice(d,0,{identifier:l,updater:k,references:1})}a.push(l)}return a}r.exports=function(r,t){var a=e(r=r||[],t=t||{});return function(r){r=r||[];for(var d=0;d<a.length;d++){var n=p(a[d]);i[n].references--}for(var o=e(r,t),s=0;s<a.length;s++){var l=p(a[s]);0===i[l].references&&(i[l].updater(),i.splice(l,1))}a=o}}},659(r){var i={};r.exports=function(r,p){var e=function(r){if(void 0===i[r]){var p=document.querySelector(r);if(window.HTMLIFrameElement&&p instanceof window.HTMLIFrameElement)try{p=p.contentDocument.head}catch(r){p=null}i[r]=p}return i[r]}(r);if(!e)throw Error("Couldn't find a style target. This probably means that the value for the 'insert' parameter is invalid.");e.appendChild(p)}},540(r){r.exports=function(r){var i=document.createElement("style");return r.setAttributes(i,r.attributes),r.insert(i,r.options),i}},56(r,i,p){r.exports=function(r){var i=p.nc;i&&r.setAttribute("nonce",i)}},825(r){r.exports=function(r){if("u"<typeof document)return{update:function(){},remove:function(){}};var i=r.insertStyleElement(r);return{update:function(p){var e,t,a;e="",p.supports&&(e+="@supports (".concat(p.supports,") {")),p.media&&(e+="@media ".concat(p.media," {")),(t=void 0!==p.layer)&&(e+="@layer".concat(p.layer.length>0?" ".concat(p.layer):""," {")),e+=p.css,t&&(e+="}"),p.media&&(e+="}"),p.supports&&(e+="}"),(a=p.sourceMap)&&"u">typeof btoa&&(e+="\n/*# sourceMappingURL=data:application/json;base64,".concat(btoa(unescape(encodeURIComponent(JSON.stringify(a))))," */")),r.styleTagTransform(e,i,r.options)},remove:function(){var r;null===(r=i).parentNode||r.parentNode.removeChild(r)}}}},113(r){r.exports=function(r,i){if(i.styleSheet)i.styleSheet.cssText=r;else{for(;i.firstChild;)i.removeChild(i.firstChild);i.appendChild(document.createTextNode(r))}}}}]);