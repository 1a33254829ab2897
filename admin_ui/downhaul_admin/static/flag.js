// The rollout while it is being changed: sliders, and the picture of the split.
"use strict";
(() => {
  const draw = (form) => {
    const numbers = [...form.querySelectorAll("[data-share]")];
    const picture = form.querySelector(".serving .split");
    if (!picture || !numbers.length) return;
    let start = 0;
    picture.replaceChildren(...numbers.map((number) => {
      const size = Math.min(Math.max(Number(number.value) || 0, 0), 100 - start);
      const share = document.createElementNS("http://www.w3.org/2000/svg", "rect");
      for (const [name, value] of [["class", `share-${number.dataset.share}`], ["x", start], ["y", 0], ["width", size], ["height", 6]]) share.setAttribute(name, value);
      start += size;
      return share;
    }));
    picture.setAttribute("aria-label", numbers.map((number) => `${number.labels[0].textContent.trim()} ${number.value} %`).join(", "));
  };
  const show = () => document.querySelectorAll(".slider[hidden]").forEach((slider) => (slider.hidden = false));
  show();
  document.addEventListener("htmx:after:swap", show);
  document.addEventListener("input", ({ target }) => {
    const slider = target.dataset?.number ? target : null;
    if (!slider && target.dataset?.share === undefined) return;
    const form = target.form;
    const number = slider ? document.getElementById(slider.dataset.number) : target;
    if (slider) number.value = slider.value;
    const numbers = [...form.querySelectorAll("[data-share]")];
    // Of two, the other gets the rest.
    if (numbers.length === 2) numbers.find((other) => other !== number).value = String(Math.round((100 - Number(number.value)) * 1000) / 1000);
    for (const each of form.querySelectorAll(".slider")) each.value = document.getElementById(each.dataset.number).value;
    form.querySelector('[name="serve.kind"][value="split"]').checked = true;
    draw(form);
  });
})();
