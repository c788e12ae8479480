// The bar at the top, with links to the other pages, accessible names for those of Chainlit's buttons that have none, and
// a chat that can still be read while the server is stopped.
// Plain DOM, since Chainlit's page has a slot for none of these.
//
// A button posts its command to the page's own window; Chainlit sends that to the server as if it were typed
// (chainlit_app.py, `run_command`). Chainlit sometimes rebuilds its header, so the bar is added again when it is missing.
(() => {
  // Chainlit's default can be light or dark but not the system's theme; a choice in its menu is kept.
  localStorage['vite-ui-theme'] ??= 'system';

  // Chainlit asks for /user again at times, and goes to the sign-in page if that fails: with the server stopped, the
  // browser's error page would replace the chat that someone is reading. So the last reply is given.
  const { fetch: get } = window;
  let user = null;
  window.fetch = async (resource, options) => {
    const { pathname } = new URL(resource?.url ?? resource, window.location.href);
    if (pathname !== '/user') return get(resource, options);
    try {
      const reply = await get(resource, options);
      if (reply.ok) user = reply.clone();
      return reply;
    } catch (error) {
      if (!user) throw error;
      return user.clone();
    }
  };

  const { t } = window.thumbtune;
  const LOOK_MS = 100;
  const COMMANDS = [
    ['/review', t('bar.review'), t('bar.review_hint')],
    ['/train', t('bar.train'), t('bar.train_hint')],
    ['/documents', t('bar.documents'), t('bar.documents_hint')],
  ];

  const THEME = '#theme-toggle';
  const NAMES = { // for screen readers: Chainlit's icons have no labels
    '#sidebar-trigger-button': t('name.chats'),
    '#search-chats-button': t('name.search'),
    '#new-chat-button': t('name.new'),
    '#upload-button, #upload-button-loading': t('name.attach'),
    '#chat-submit': t('name.send'),
    '#stop-button': t('name.stop'),
    '#thread-options': t('name.options'),
    '#side-view-title > button': t('name.close'),
    [THEME]: t('name.theme'),
    '[data-sidebar="sidebar"][role="dialog"]': t('name.chats'),
    'button.border-input.bg-background': t('name.end'),
  };
  const ROLES = { '#thread-options': 'button', '#upload-button': 'button', 'ul[data-sidebar="menu"] > div': 'listitem' };

  // Chainlit silently drops messages until the page is connected; its upload button appears when it is.
  let connected = false;
  const look = () => {
    if (!connected && document.getElementById('upload-button')) {
      connected = true;
      askFirst();
    }
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
    node.textContent = t('bar.scoreboard');
    node.title = t('bar.scoreboard_hint');
    return node;
  };

  // A chat as a Markdown file; hidden until the chat has begun and has an address.
  const CHAT = /^\/thread\/([0-9a-f-]{36})$/;
  const save = () => {
    const node = document.createElement('a');
    node.className = 'tt-save';
    node.textContent = t('bar.save');
    node.title = t('bar.save_hint');
    node.setAttribute('download', '');
    node.hidden = true;
    return node;
  };
  const address = () => {
    const [, id] = CHAT.exec(window.location.pathname) ?? [];
    document.querySelectorAll('.tt-save').forEach((node) => {
      if (node.hidden !== !id) node.hidden = !id;
      if (id && node.getAttribute('href') !== `/chats/${id}.md`) node.setAttribute('href', `/chats/${id}.md`);
    });
  };

  const bar = () => {
    const nav = document.createElement('nav');
    const title = document.createElement('h1');
    title.className = 'sr-only';
    title.textContent = 'thumbtune';
    nav.className = 'tt-bar';
    nav.setAttribute('aria-label', 'thumbtune');
    const menu = document.createElement('details'); // shown on a phone instead of the row
    const summary = document.createElement('summary');
    summary.textContent = t('bar.menu');
    const items = document.createElement('div');
    items.append(...COMMANDS.map(button), scoreboard(), save());
    menu.append(summary, items);
    const row = document.createElement('div');
    row.className = 'tt-bar-row';
    row.append(...COMMANDS.map(button), scoreboard(), save());
    nav.append(title, row, menu);
    return nav;
  };

  // What is indexed or trained for the first time: one line under the header while it lasts, and how it ended.
  const ASK_MS = 1000;
  let first = { state: 'idle', text: '' };
  const line = () => {
    const node = document.createElement('div');
    node.className = 'tt-first';
    node.setAttribute('role', 'status');
    return node;
  };
  const showFirst = () => {
    const header = document.getElementById('header');
    const shown = document.querySelector('.tt-first');
    if (!header || first.state === 'idle') {
      shown?.remove();
      return;
    }
    const node = shown ?? line();
    if (!shown) header.after(node);
    const live = first.state === 'failed' || first.state === 'ready' ? 'polite' : 'off'; // not a word each second
    if (node.getAttribute('aria-live') !== live) node.setAttribute('aria-live', live);
    if (node.dataset.state !== first.state) node.dataset.state = first.state;
    if (node.textContent !== first.text) node.textContent = first.text;
  };
  const askFirst = async () => {
    const reply = await get('/first-start').catch(() => null);
    const now = reply?.ok ? await reply.json() : { state: 'idle', text: '' };
    const isNews = now.state !== 'ready' || first.state !== 'idle'; // a page opened later need not know
    if (isNews) first = now;
    showFirst();
    if (now.state === 'indexing' || now.state === 'training') setTimeout(askFirst, ASK_MS);
  };

  // A button's text is its name, but Chainlit's hidden text for the theme is English.
  const isNamed = (node) => node.matches('button') && node.textContent.trim() && !node.matches(THEME);
  const give = (attribute, values) =>
    Object.entries(values).forEach(([selector, value]) =>
      document.querySelectorAll(selector).forEach((node) => {
        if (attribute === 'aria-label' && isNamed(node)) return;
        if (node.getAttribute(attribute) !== value) node.setAttribute(attribute, value);
      }),
    );

  // On a phone the passage panel is a dialog whose aria-labelledby refers to a missing id: its title gets that id.
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
    address();
    showFirst();
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
  // Chainlit's list of chats sets the address of a new thread. It is not rendered on a phone, and a reload would show an
  // empty chat: so the server sends the thread's id, and the address is set here if it is still missing.
  const THREAD = /^[0-9a-f-]{36}$/;
  const ADDRESS_MS = 1000;
  window.addEventListener('message', ({ data, source }) => {
    if (source !== window || !THREAD.test(data?.thread ?? '')) return;
    setTimeout(() => {
      if (window.location.pathname === '/') window.history.replaceState(null, '', `/thread/${data.thread}`);
    }, ADDRESS_MS);
  });

  document.head.append(Object.assign(document.createElement('script'), { src: '/public/picker.js' }));
  new MutationObserver(place).observe(document.documentElement, { childList: true, subtree: true });
  place();
})();
