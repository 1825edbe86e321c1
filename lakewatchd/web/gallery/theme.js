// Light or dark, before the first paint: this one script is read before the page is drawn, so nothing flashes.
// "auto" follows the system; what a person chose is kept in this browser.

(() => {
  const KEY = "lakewatchd.theme";
  const CHOICES = ["auto", "light", "dark"];
  const read = () => {
    try {
      return localStorage.getItem(KEY);
    } catch {
      return null; // storage is switched off: then it holds for this page
    }
  };
  const show = (choice) => {
    document.documentElement.dataset.theme = choice;
  };
  const kept = read();
  show(CHOICES.includes(kept) ? kept : "auto");
  window.lakewatchdTheme = {
    get: () => document.documentElement.dataset.theme,
    set(choice) {
      show(choice);
      try {
        localStorage.setItem(KEY, choice);
      } catch {
        // as above
      }
    },
  };
})();
