// The texts that a visitor reads. English is the source; Python sends the dictionary of another language.

/** @type {Record<string, string>} by the English text */
let dictionary = {};

/** @param {Record<string, string> | undefined} words */
function speak(words) {
  dictionary = words ?? {};
}

/**
 * A text in the visitor's language, its `{places}` filled.
 * @param {string} message in English
 * @param {Record<string, string | number>} [places]
 */
function t(message, places = {}) {
  const text = dictionary[message] ?? message;
  return text.replace(/\{(\w+)\}/g, (whole, name) => String(places[name] ?? whole));
}

/** Mark a text for the catalogue; `t` looks it up where it is shown. @param {string} message */
const mark = (message) => message;

/** Translate the texts of `viewer.html`: the content of `data-t`, and labels for those who listen. */
function translatePage(root) {
  for (const element of root.querySelectorAll("[data-t]")) element.textContent = t(element.textContent);
  for (const element of root.querySelectorAll("[aria-label]")) element.ariaLabel = t(element.ariaLabel);
}
