"use strict";(self.rspackChunkprivsdk_panel=self.rspackChunkprivsdk_panel||[]).push([[812],{920(r,e,i){var n=i(601),a=i.n(n),t=i(314),o=(i.n(t))()(a());o.push([r.id,`/* JupyterLab's own theme variables, so that light and dark are the reader's; elsewhere what the page has. */
.privsdk {
  --privsdk-line: var(--jp-border-color1, #8886);
  --privsdk-text: var(--jp-ui-font-color1, inherit);
  --privsdk-quiet: var(--jp-ui-font-color1, inherit);
  --privsdk-accent: var(--jp-brand-color1, #1976d2);
  --privsdk-good: var(--jp-success-color1, #2e7d32);
  --privsdk-warn: var(--jp-warn-color1, #b45309);
  --privsdk-bad: var(--jp-error-color1, #c62828);
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
.privsdk button.privsdk-main { background: var(--privsdk-accent); border-color: var(--privsdk-accent); color: #fff; font-weight: 600; }
.privsdk button:disabled { opacity: 0.55; cursor: not-allowed; }
.privsdk :focus-visible { outline: 2px solid var(--privsdk-accent); outline-offset: 2px; }
.privsdk-good { color: var(--privsdk-good); }
.privsdk-warn { color: var(--privsdk-warn); }
.privsdk-bad { color: var(--privsdk-bad); }
.privsdk-unseen { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); white-space: nowrap; }
@media (prefers-reduced-motion: no-preference) { .privsdk [data-moves] { transition: width 0.15s; } }

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
`,""]),i.d(e,{},{A:o})},314(r){r.exports=function(r){var e=[];return e.toString=function(){return this.map(function(e){var i="",n=void 0!==e[5];return e[4]&&(i+="@supports (".concat(e[4],") {")),e[2]&&(i+="@media ".concat(e[2]," {")),n&&(i+="@layer".concat(e[5].length>0?" ".concat(e[5]):""," {")),i+=r(e),n&&(i+="}"),e[2]&&(i+="}"),e[4]&&(i+="}"),i}).join("")},e.i=function(r,i,n,a,t){"string"==typeof r&&(r=[[null,r,void 0]]);var o={};if(n)for(var p=0;p<this.length;p++){var s=this[p][0];null!=s&&(o[s]=!0)}for(var d=0;d<r.length;d++){var l=[].concat(r[d]);n&&o[l[0]]||(void 0!==t&&(void 0===l[5]||(l[1]="@layer".concat(l[5].length>0?" ".concat(l[5]):""," {").concat(l[1],"}")),l[5]=t),i&&(l[2]&&(l[1]="@media ".concat(l[2]," {").concat(l[1],"}")),l[2]=i),a&&(l[4]?(l[1]="@supports (".concat(l[4],") {").concat(l[1],"}"),l[4]=a):l[4]="".concat(a)),e.push(l))}},e}},601(r){r.exports=function(r){return r[1]}},495(r,e,i){i.r(e);var n=i(72),a=i.n(n),t=i(825),o=i.n(t),p=i(659),s=i.n(p),d=i(56),l=i.n(d),v=i(540),c=i.n(v),u=i(113),f=i.n(u),k=i(920),h={};h.styleTagTransform=f(),h.setAttributes=l(),h.insert=s().bind(null,"head"),h.domAPI=o(),h.insertStyleElement=c(),a()(k.A,h);let x=k.A&&k.A.locals?k.A.locals:void 0;i.d(e,{},{default:x})},72(r){var e=[];function i(r){for(var i=-1,n=0;n<e.length;n++)if(e[n].identifier===r){i=n;break}return i}function n(r,n){for(var a={},t=[],o=0;o<r.length;o++){var p=r[o],s=n.base?p[0]+n.base:p[0],d=a[s]||0,l="".concat(s," ").concat(d);a[s]=d+1;var v=i(l),c={css:p[1],media:p[2],sourceMap:p[3],supports:p[4],layer:p[5]};if(-1!==v)e[v].references++,e[v].updater(c);else{var u=function(r,e){var i=e.domAPI(e);return i.update(r),function(e){e?(e.css!==r.css||e.media!==r.media||e.sourceMap!==r.sourceMap||e.supports!==r.supports||e.layer!==r.layer)&&i.update(r=e):i.remove()}}(c,n);n.byIndex=o,e.splice(o,0,{identifier:l,updater:u,references:1})}t.push(l)}return t}r.exports=function(r,a){var t=n(r=r||[],a=a||{});return function(r){r=r||[];for(var o=0;o<t.length;o++){var p=i(t[o]);e[p].references--}for(var s=n(r,a),d=0;d<t.length;d++){var l=i(t[d]);0===e[l].references&&(e[l].updater(),e.splice(l,1))}t=s}}},659(r){var e={};r.exports=function(r,i){var n=function(r){if(void 0===e[r]){var i=document.querySelector(r);if(window.HTMLIFrameElement&&i instanceof window.HTMLIFrameElement)try{i=i.contentDocument.head}catch(r){i=null}e[r]=i}return e[r]}(r);if(!n)throw Error("Couldn't find a style target. This probably means that the value for the 'insert' parameter is invalid.");n.appendChild(i)}},540(r){r.exports=function(r){var e=document.createElement("style");return r.setAttributes(e,r.attributes),r.insert(e,r.options),e}},56(r,e,i){r.exports=function(r){var e=i.nc;e&&r.setAttribute("nonce",e)}},825(r){r.exports=function(r){if("u"<typeof document)return{update:function(){},remove:function(){}};var e=r.insertStyleElement(r);return{update:function(i){var n,a,t;n="",i.supports&&(n+="@supports (".concat(i.supports,") {")),i.media&&(n+="@media ".concat(i.media," {")),(a=void 0!==i.layer)&&(n+="@layer".concat(i.layer.length>0?" ".concat(i.layer):""," {")),n+=i.css,a&&(n+="}"),i.media&&(n+="}"),i.supports&&(n+="}"),(t=i.sourceMap)&&"u">typeof btoa&&(n+="\n/*# sourceMappingURL=data:application/json;base64,".concat(btoa(unescape(encodeURIComponent(JSON.stringify(t))))," */")),r.styleTagTransform(n,e,r.options)},remove:function(){var r;null===(r=e).parentNode||r.parentNode.removeChild(r)}}}},113(r){r.exports=function(r,e){if(e.styleSheet)e.styleSheet.cssText=r;else{for(;e.firstChild;)e.removeChild(e.firstChild);e.appendChild(document.createTextNode(r))}}}}]);