"use strict";
(() => {
  const said = document.getElementById("said");
  for (const part of document.querySelectorAll("[data-live]")) {
    let shown = "";
    const lost = document.createElement("p");
    lost.className = "reason";
    lost.setAttribute("role", "alert");
    const look = async () => {
      let now;
      try {
        const answer = await fetch(part.dataset.live, { cache: "no-store" });
        // A console that has started anew does not know this page.
        if (answer.status === 403) {
          lost.textContent = "This is no longer up to date: open the address that kalmap serve has printed.";
          return part.before(lost);
        }
        if (!answer.ok) throw new Error(answer.status);
        now = await answer.json();
      } catch {
        lost.textContent = "This is no longer up to date: kalmap serve does not answer.";
        if (!lost.isConnected) part.before(lost);
        return setTimeout(look, 3000);
      }
      lost.remove();
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
