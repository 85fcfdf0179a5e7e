// A click on the menu is held until Python knows where the view is, and then goes to the link that is in the page.

import assert from "node:assert/strict";
import { test } from "node:test";
import { load } from "./load.mjs";

class HTMLAnchorElement {
  isConnected = true;
  clicks = 0;
  constructor(href) {
    this.href = href;
  }
  click() {
    this.clicks += 1;
  }
}

/** A page with these links, and a viewer in it whose view Python has not heard of. */
function scene(...links) {
  const { Leaving, globalThis: browser } = load("Leaving", "globalThis");
  const window = { addEventListener() {}, removeEventListener() {} };
  Object.assign(browser, { window, HTMLAnchorElement, setTimeout() {}, clearTimeout() {}, document: { querySelectorAll: () => links } });
  return new Leaving({ pause() {}, left: false });
}

test("a held click goes to the link", () => {
  const link = new HTMLAnchorElement("/learn");
  const leaving = scene(new HTMLAnchorElement("/results"), link);
  leaving.hold(link);
  assert.equal(link.clicks, 0);
  leaving.release();
  leaving.release();
  assert.equal(link.clicks, 1);
  assert.equal(leaving.viewer.left, true);
});

test("where the menu was drawn anew, a held click goes to the link that took its place", () => {
  const old = new HTMLAnchorElement("/learn"), other = new HTMLAnchorElement("/results"), link = new HTMLAnchorElement("/learn");
  const leaving = scene(other, link);
  leaving.hold(old);
  old.isConnected = false;
  leaving.release();
  assert.deepEqual([old.clicks, other.clicks, link.clicks], [0, 0, 1]);
});
