// Streamlit's uploader writes on the chip of a refused file what its error is as a string, which is the status code.
// The answer of the server holds a sentence, so an error of the uploader is that sentence as a string.

const MARK = Symbol.for("unet.refusals");

export default function sayRefusals() {
  if (Error.prototype[MARK]) return; // another page has done so
  const plain = Error.prototype.toString;
  Error.prototype[MARK] = true;
  Error.prototype.toString = function () {
    return sentence(this) || plain.call(this);
  };
}

/** The server's sentence in an error of Axios, or "" where there is none, as from a proxy that answers in HTML. */
function sentence(error) {
  if (!error?.isAxiosError || !String(error.config?.url).includes("/_stcore/upload_file/")) return "";
  const { data, headers } = error.response ?? {};
  return typeof data === "string" && String(headers?.["content-type"]).startsWith("text/plain") ? data : "";
}
