"use strict";
(() => {
  const said = document.getElementById("said");
  for (const part of document.querySelectorAll("[data-live]")) {
    let shown = "";
    const look = async () => {
      let now;
      try {
        const answer = await fetch(part.dataset.live, { cache: "no-store" });
        if (!answer.ok) return;
        now = await answer.json();
      } catch {
        return setTimeout(look, 3000);
      }
      if (now.html !== shown) {
        const scrolled = [...part.querySelectorAll(".scroll")].map((one) => one.scrollLeft);
        // The server has escaped it, as in the page.
        part.innerHTML = shown = now.html;
        part.querySelectorAll(".scroll").forEach((one, n) => { one.scrollLeft = scrolled[n] || 0; });
      }
      // Where it has ended, the page as a whole says more.
      if (!now.running) return location.reload();
      if (said.textContent !== now.said) said.textContent = now.said;
      setTimeout(look, document.hidden ? 5000 : 1000);
    };
    setTimeout(look, 1000);
  }
})();
