"use strict";
(() => {
  let shown;
  new EventSource("/_changes").addEventListener("message", (event) => {
    if (shown === undefined) shown = event.data;
    else if (shown !== event.data) location.reload();
  });
})();
