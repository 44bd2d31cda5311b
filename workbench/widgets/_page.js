// Keep the keys of a panel to itself: JupyterLab's command mode would take arrows and Enter.

function render() {
  const keep = ({ target }) => {
    if (target.closest(".workbench-panel")) target.dataset.lmSuppressShortcuts = "true";
  };
  document.addEventListener("focusin", keep);
  return () => document.removeEventListener("focusin", keep);
}

export default { render };
