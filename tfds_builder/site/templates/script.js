"use strict";
(() => {
  const root = document.documentElement, all = (what, where) => [...(where || document).querySelectorAll(what)];
  const themes = ["", "light", "dark"], names = {"": "as the system", light: "light", dark: "dark"};
  const stored = {
    get: () => { try { return localStorage.getItem("torch2tfds-theme") || ""; } catch { return ""; } },
    set: (value) => { try { localStorage.setItem("torch2tfds-theme", value); } catch { /* it holds for this page then */ } },
  };
  const dress = (theme) => { if (theme) root.dataset.theme = theme; else delete root.dataset.theme; };
  dress(themes.includes(stored.get()) ? stored.get() : "");

  const theming = (button) => {
    const tell = () => button.setAttribute("aria-label", "Theme: " + names[root.dataset.theme || ""]);
    button.hidden = false;
    tell();
    button.addEventListener("click", () => {
      const next = themes[(themes.indexOf(root.dataset.theme || "") + 1) % themes.length];
      dress(next);
      stored.set(next);
      tell();
    });
  };

  const copying = (button) => {
    const code = button.parentElement.querySelector("code");
    button.hidden = false;
    button.addEventListener("click", async () => {
      try {
        await navigator.clipboard.writeText(code.textContent);
        button.textContent = "Copied";
      } catch {
        const range = document.createRange();
        range.selectNodeContents(code);
        getSelection().removeAllRanges();
        getSelection().addRange(range);
        button.textContent = document.execCommand("copy") ? "Copied" : "Selected";
      }
      setTimeout(() => { button.textContent = "Copy"; }, 1500);
    });
  };

  const tabbing = (box) => {
    const panels = all("[data-tab]", box), list = document.createElement("div");
    list.className = "tablist";
    list.setAttribute("role", "tablist");
    list.setAttribute("aria-label", "With what");
    const choose = (chosen, focus) => tabs.forEach((tab, i) => {
      tab.setAttribute("aria-selected", String(i === chosen));
      tab.tabIndex = i === chosen ? 0 : -1;
      panels[i].hidden = i !== chosen;
      if (focus && i === chosen) tab.focus();
    });
    const tabs = panels.map((panel, i) => {
      const tab = document.createElement("button");
      tab.type = "button";
      tab.textContent = panel.dataset.tab;
      tab.id = "tab-" + i;
      panel.id = "panel-" + i;
      tab.setAttribute("role", "tab");
      tab.setAttribute("aria-controls", panel.id);
      panel.setAttribute("role", "tabpanel");
      panel.setAttribute("aria-labelledby", tab.id);
      tab.addEventListener("click", () => choose(i, false));
      tab.addEventListener("keydown", (event) => {
        const last = panels.length - 1;
        const to = {ArrowRight: i === last ? 0 : i + 1, ArrowLeft: i ? i - 1 : last, Home: 0, End: last}[event.key];
        if (to !== undefined) { event.preventDefault(); choose(to, true); }
      });
      list.append(tab);
      return tab;
    });
    box.prepend(list);
    box.classList.add("tabbed");
    choose(0, false);
  };

  const filtering = (form) => {
    const list = document.querySelector("[data-sets]"), rows = all("[data-row]", list), search = form.elements.q;
    const count = document.querySelector("[data-count]"), empty = document.querySelector("[data-empty]");
    const filters = all("[data-filter]", form), sort = form.elements.sort;
    form.hidden = false;
    const apply = () => {
      const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
      let shown = 0;
      for (const row of rows) {
        const fits = words.every((word) => row.dataset.text.includes(word)) &&
          filters.every((one) => !one.value || row.dataset[one.dataset.filter].split("|").includes(one.value));
        row.hidden = !fits;
        shown += fits;
      }
      const key = sort.value.replace("-", ""), sign = sort.value.startsWith("-") ? -1 : 1, text = key === "name" || key === "date";
      const compare = (a, b) => (text ? (a > b) - (a < b) : a - b);
      const order = [...rows].sort((a, b) => sign * compare(a.dataset[key], b.dataset[key]) || (a.dataset.name > b.dataset.name ? 1 : -1));
      if (order.some((row, i) => row !== list.children[i])) list.append(...order);
      count.textContent = shown === rows.length ? "" : shown + " of " + rows.length + " shown";
      empty.hidden = shown > 0 || !rows.length;
      const state = new URLSearchParams([...new FormData(form)].filter(([k, v]) => v && !(k === "sort" && v === "name"))).toString();
      try { history.replaceState(null, "", state ? "#" + state : location.pathname); } catch { /* the address stays */ }
    };
    const load = () => {
      for (const [key, value] of new URLSearchParams(location.hash.slice(1))) if (form.elements[key]) form.elements[key].value = value;
      if (!sort.value) sort.value = "name";
      apply();
    };
    form.addEventListener("input", apply);
    form.addEventListener("submit", (event) => event.preventDefault());
    document.querySelector("[data-reset]").addEventListener("click", () => { form.reset(); apply(); search.focus(); });
    document.addEventListener("keydown", (event) => {
      const typing = /^(INPUT|SELECT|TEXTAREA)$/.test(document.activeElement.tagName);
      if (event.key === "/" && !typing && !event.ctrlKey && !event.metaKey) { event.preventDefault(); search.focus(); }
    });
    load();
  };

  document.addEventListener("DOMContentLoaded", () => {
    all("[data-theme-button]").forEach(theming);
    all("[data-copy]").forEach(copying);
    all("[data-tabs]").forEach(tabbing);
    all("[data-filters]").forEach(filtering);
  });
})();
