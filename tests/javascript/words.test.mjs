import assert from "node:assert/strict";
import { test } from "node:test";
import { load } from "./load.mjs";

test("a text is English until a dictionary comes, and its places are filled in either", () => {
  const { t, speak } = load("t", "speak");
  assert.equal(t("Slice {number} of {count}", { number: 3, count: 24 }), "Slice 3 of 24");
  speak({ "Slice {number} of {count}": "{count} 중 {number}번째 절편" });
  assert.equal(t("Slice {number} of {count}", { number: 3, count: 24 }), "24 중 3번째 절편");
  assert.equal(t("Not in it"), "Not in it");
  speak({});
  assert.equal(t("Slice {number} of {count}", { number: 3, count: 24 }), "Slice 3 of 24");
});

test("an overlay is named by its code", () => {
  const { overlayName, speak } = load("overlayName", "speak");
  speak({ "Attention {level}": "게이트 {level}", None: "없음" });
  assert.deepEqual(["Attention 4", "None", "Predicted"].map(overlayName), ["게이트 4", "없음", "Predicted"]);
});
