// Leaving the page. Streamlit's menu tells the next page nothing of this one's viewer, and a message on its way to a busy
// server is lost when the next one names another page. So a click on a link is held until Python has said that it heard
// where the view is, and then done again.

// then the click counts, whatever Python has heard; a server that takes longer would not open the next page sooner either
const HOLD_MILLISECONDS = 60_000;

class Leaving {
  /** @param {Viewer} viewer */
  constructor(viewer) {
    this.viewer = viewer;
    /** @type {HTMLAnchorElement | undefined} the link whose click is held */
    this.held = undefined;
    /** @type {ReturnType<typeof setTimeout> | undefined} */
    this.limit = undefined;
    this.click = this.click.bind(this);
    window.addEventListener("click", this.click, true); // before Streamlit's own listeners
  }

  /** @param {MouseEvent} event */
  click(event) {
    const path = event.composedPath();
    if (path.includes(this.viewer.root) || this.viewer.left) return;
    tellPython(this.viewer); // before what is clicked sends a message of its own
    const link = path.find((element) => element instanceof HTMLAnchorElement);
    if (!(link instanceof HTMLAnchorElement) || !Leaving.opensPage(link, event)) return;
    if (isHeard(this.viewer)) return this.leave();
    event.preventDefault();
    event.stopImmediatePropagation();
    this.hold(link);
  }

  /**
   * Whether a click opens another page of the app in this tab.
   * @param {HTMLAnchorElement} link
   * @param {MouseEvent} event
   */
  static opensPage(link, event) {
    const elsewhere = event.button || event.ctrlKey || event.metaKey || event.shiftKey || link.target === "_blank";
    return !elsewhere && link.origin === location.origin && link.pathname !== location.pathname;
  }

  /** @param {HTMLAnchorElement} link */
  hold(link) {
    this.viewer.pause(); // else the view moves on
    this.held = link;
    clearTimeout(this.limit);
    this.limit = setTimeout(() => this.release(), HOLD_MILLISECONDS);
  }

  /** Do the held click, if there is one. */
  release() {
    const link = this.held;
    if (!link) return;
    this.held = undefined;
    clearTimeout(this.limit);
    this.leave();
    Leaving.inPage(link).click();
  }

  /**
   * The link that leads where this one does: Streamlit may have drawn its menu anew, and a link that is no longer in the
   * page would make the browser load the app again, as a new visit that knows nothing of this one.
   * @param {HTMLAnchorElement} link
   */
  static inPage(link) {
    if (link.isConnected) return link;
    return Array.from(document.querySelectorAll("a")).find(({ href }) => href === link.href) ?? link;
  }

  /** From now on the address belongs to another page, and a message from this one would call the visitor back. */
  leave() {
    this.viewer.pause();
    this.viewer.left = true;
    this.limit = setTimeout(() => (this.viewer.left = false), HOLD_MILLISECONDS); // the page did not open after all
  }

  close() {
    clearTimeout(this.limit);
    window.removeEventListener("click", this.click, true);
  }
}
