// The bar at the top: what else there is beside the chat; and names for those of Chainlit's buttons that have none.
// Plain DOM, since Chainlit's page has no place for either.
//
// A button posts its command to the page's own window; Chainlit hands that to the server as if it were typed there
// (chainlit_app.py, `press`). Chainlit draws its header anew now and then, so the bar is put back where it is missing.
(() => {
  // Chainlit's own default is light or dark, and cannot be what the system has; what its menu was set to stays.
  localStorage['vite-ui-theme'] ??= 'system';

  const LOOK_MS = 100;
  const COMMANDS = [
    ['/review', 'Review', 'What to rate next'],
    ['/train', 'Train', 'Learn from the ratings'],
    ['/documents', 'Documents', 'What is indexed; add or remove'],
  ];

  const NAMES = { // what a screen reader says of Chainlit's icons
    '#sidebar-trigger-button': 'Threads',
    '#search-chats-button': 'Search threads',
    '#new-chat-button': 'New thread',
    '#upload-button, #upload-button-loading': 'Attach documents',
    '#chat-submit': 'Send',
    '#stop-button': 'Stop',
    '#thread-options': 'Thread options',
    '#side-view-title > button': 'Close',
    '[data-sidebar="sidebar"][role="dialog"]': 'Threads',
    'button.border-input.bg-background': 'Scroll to the end',
  };
  const ROLES = { '#thread-options': 'button', '#upload-button': 'button', 'ul[data-sidebar="menu"] > div': 'listitem' };

  // Until the page is connected Chainlit hands nothing on, and says nothing: its button for files waits for that, too.
  let connected = false;
  const look = () => {
    connected ||= Boolean(document.getElementById('upload-button'));
    return connected;
  };
  const post = (command) => {
    if (look()) window.postMessage(command, window.location.origin);
    else setTimeout(() => post(command), LOOK_MS);
  };

  const button = ([command, word, title]) => {
    const node = document.createElement('button');
    node.type = 'button';
    node.textContent = word;
    node.title = title;
    node.addEventListener('click', () => {
      post(command);
      node.closest('details')?.removeAttribute('open');
    });
    return node;
  };

  const scoreboard = () => {
    const node = document.createElement('a');
    node.href = '/scoreboard';
    node.target = '_blank';
    node.rel = 'noopener';
    node.textContent = 'Scoreboard';
    node.title = 'Which retriever wins, and by how much';
    return node;
  };

  const bar = () => {
    const nav = document.createElement('nav');
    const title = document.createElement('h1');
    title.className = 'sr-only';
    title.textContent = 'thumbtune';
    nav.className = 'tt-bar';
    nav.setAttribute('aria-label', 'thumbtune');
    const menu = document.createElement('details'); // what a phone shows in place of the row
    const summary = document.createElement('summary');
    summary.textContent = 'Menu';
    const items = document.createElement('div');
    items.append(...COMMANDS.map(button), scoreboard());
    menu.append(summary, items);
    const row = document.createElement('div');
    row.className = 'tt-bar-row';
    row.append(...COMMANDS.map(button), scoreboard());
    nav.append(title, row, menu);
    return nav;
  };

  const isNamed = (node) => node.matches('button') && node.textContent.trim(); // it says itself what it is
  const give = (attribute, values) =>
    Object.entries(values).forEach(([selector, value]) =>
      document.querySelectorAll(selector).forEach((node) => {
        if (attribute === 'aria-label' && isNamed(node)) return;
        if (node.getAttribute(attribute) !== value) node.setAttribute(attribute, value);
      }),
    );

  // On a phone the panel of a passage is a dialog, labelled by an id that Chainlit gives to nothing: its title gets it.
  const entitle = () => {
    const title = document.querySelector('[role="dialog"][aria-labelledby] #side-view-title');
    if (title) title.id = title.closest('[role="dialog"]').getAttribute('aria-labelledby');
  };

  const place = () => {
    const header = document.getElementById('header');
    const spacer = header && [...header.children].find((child) => child.tagName === 'DIV' && !child.className);
    if (spacer && !spacer.querySelector('.tt-bar')) spacer.append(bar());
    give('aria-label', NAMES);
    give('role', ROLES);
    entitle();
    look();
  };

  document.addEventListener('keydown', (event) => {
    if (event.key === 'Escape') document.querySelectorAll('.tt-bar details[open]').forEach((menu) => menu.removeAttribute('open'));
  });
  document.addEventListener('click', (event) => {
    document.querySelectorAll('.tt-bar details[open]').forEach((menu) => {
      if (!menu.contains(event.target)) menu.removeAttribute('open');
    });
  });
  window.addEventListener('message', ({ data, source }) => {
    if (source === window && data === 'thumbtune:leave') window.location.assign('/'); // this chat was deleted
  });
  // On a phone nobody gives a new thread its address (Chainlit's list of threads does, where it is drawn), and a reload
  // would show an empty room. The server says which thread it is; where the address is missing by then, it is put there.
  const THREAD = /^[0-9a-f-]{36}$/;
  const ADDRESS_MS = 1000;
  window.addEventListener('message', ({ data, source }) => {
    if (source !== window || !THREAD.test(data?.thread ?? '')) return;
    setTimeout(() => {
      if (window.location.pathname === '/') window.history.replaceState(null, '', `/thread/${data.thread}`);
    }, ADDRESS_MS);
  });

  new MutationObserver(place).observe(document.documentElement, { childList: true, subtree: true });
  place();
})();
