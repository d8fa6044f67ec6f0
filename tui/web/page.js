/* Keys go to the terminal without a click. Not before the websocket is open: textual.js reports the
   focus by it, and says that it is open by a class of the body. */
addEventListener("load", () => {
  const opened = new MutationObserver(() => {
    if (!document.body.classList.contains("-loaded")) return;
    opened.disconnect();
    document.querySelector(".xterm-helper-textarea").focus();
  });
  opened.observe(document.body, { attributeFilter: ["class"] });
});
