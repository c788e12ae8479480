// The bar at the top, the browser's history (places in the side panel, chats), accessible names for those of Chainlit's
// buttons that have none, and a chat that can still be read while the server is stopped.
// Plain DOM, since Chainlit's page has a slot for none of these.
//
// A button posts its command to the page's own window, and Chainlit sends that to the server (chainlit_app.py,
// `run_command`). Chainlit sometimes rebuilds its header, so the bar is added again when it is missing.
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
  const MOST_LOOKS = 50; // for the steps of a chat
  const CLOSE = 'thumbtune:close';
  const COMMANDS = [
    ['/review', t('bar.review'), t('bar.review_hint')],
    ['/train', t('bar.train'), t('bar.train_hint')],
    ['/documents', t('bar.documents'), t('bar.documents_hint')],
    ['/ratings', t('bar.ratings'), t('bar.ratings_hint')],
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

  // Chainlit silently drops messages until the page is connected; its upload button appears when it is. What is sent while
  // a chat is still being read from the history is dropped, too.
  const CHAT = /^\/thread\/([0-9a-f-]{36})$/;
  const steps = () => document.querySelectorAll('.step');
  let connected = false;
  const look = () => {
    if (!connected && document.getElementById('upload-button')) {
      connected = true;
      askFirst();
    }
    return connected && (!CHAT.test(window.location.pathname) || steps().length > 0);
  };
  const post = (command, tries = MOST_LOOKS) => {
    if (look() || (connected && tries < 0)) window.postMessage(command, window.location.origin);
    else setTimeout(() => post(command, tries - 1), LOOK_MS);
  };

  const button = ([command, word, title]) => {
    const node = document.createElement('button');
    node.type = 'button';
    node.textContent = word;
    node.title = title;
    node.dataset.place = command.slice(1);
    node.addEventListener('click', (event) => {
      if (event.detail > 1) return; // the second click of a double click
      node.closest('details')?.removeAttribute('open');
      enter(command.slice(1));
    });
    return node;
  };

  const scoreboard = () => {
    const node = document.createElement('a');
    node.href = '/scoreboard';
    node.textContent = t('bar.scoreboard');
    node.title = t('bar.scoreboard_hint');
    return node;
  };

  // A chat as a Markdown file; hidden until the chat has begun and has an address.
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
    watchPanel();
    land();
  };

  // --- places and the browser's history ------------------------------------------------------------------------------
  //
  // A place (Review, Train, Documents, Ratings) is the side panel with elements that the server sent to this tab; its address is
  // the chat's with #train. Opening one is an entry of the history, so that Back leaves it. So is a passage, without an
  // address of its own. An entry that we made has `history.state.thumbtune`: the path below it.
  const PLACE = /^#(review|train|documents|ratings)$/;
  const { history } = window;
  const pushEntry = history.pushState.bind(history);
  const replaceEntry = history.replaceState.bind(history);
  const panel = () => document.getElementById('side-view-content');
  const named = () => PLACE.exec(window.location.hash)?.[1] ?? '';
  const here = () => window.location.pathname + window.location.search;
  let open = ''; // what the panel shows: a place, 'passage' or nothing
  let shown = false; // whether it was drawn since: Chainlit first draws what the panel showed before, such as a passage
  let opener = null; // the button that gets the focus back
  let at = window.location.pathname;
  let entry = history.state;
  const moved = () => {
    at = window.location.pathname;
    entry = history.state;
  };

  const enter = (place) => {
    opener = document.activeElement;
    if (place === open && panel()) panel().querySelector('section')?.focus();
    else post(`/${place}`);
  };
  const opened = (place) => {
    const hash = place === 'passage' ? '' : `#${place}`;
    const isOurs = history.state?.thumbtune !== undefined || named(); // one entry, whatever is opened over another
    const state = { ...history.state, thumbtune: history.state?.thumbtune ?? window.location.pathname };
    if (named() !== place && isOurs) replaceEntry(history.state, '', here() + hash);
    else if (!isOurs) pushEntry(state, '', here() + hash);
    if (open && open !== 'passage' && place === 'passage') post(CLOSE);
    [open, shown] = [place, place === 'passage'];
    moved();
    markOpen();
  };
  const refocus = () => {
    if (document.activeElement === document.body) opener?.focus?.({ preventScroll: true });
  };
  // The panel has gone: closed by its button, by Escape, or by Chainlit, which then shows another chat.
  const closed = () => {
    if (open !== 'passage') post(CLOSE);
    [open, shown] = ['', false];
    refocus();
    if (history.state?.thumbtune !== undefined) history.back();
    else if (named()) replaceEntry(history.state, '', here());
    moved();
    markOpen();
  };
  const closePanel = () =>
    document.querySelector('#side-view-title > button, [role="dialog"]:has(#side-view-content) > button')?.click();
  const markOpen = () =>
    document.querySelectorAll('.tt-bar [data-place]').forEach((node) => {
      if (node.dataset.place === open) node.setAttribute('aria-current', 'true');
      else if (node.hasAttribute('aria-current')) node.removeAttribute('aria-current');
    });
  const watchPanel = () => {
    const isPassage = Boolean(panel()?.querySelector('.tt-source'));
    const isPlace = !isPassage && Boolean(panel()?.querySelector('section'));
    if (isPassage && open !== 'passage' && (shown || !open)) opened('passage');
    else if (isPlace && open && open !== 'passage') shown = true;
    else if (open && shown && !panel()) closed();
    markOpen();
  };

  // Chainlit's router goes from / to the address of a chat that has begun, and to / for a new chat. Where that is the
  // same chat it shall be the same entry: Back would otherwise lead to / and from there to the chat again.
  let begun = '';
  history.pushState = (state, title, url) => {
    const to = new URL(url ?? '', window.location.href);
    if (window.location.pathname === '/' && to.pathname === `/thread/${begun}`) {
      const ours = history.state?.thumbtune === undefined ? {} : { thumbtune: history.state.thumbtune };
      replaceEntry({ ...state, ...ours }, '', to.pathname + window.location.hash);
    } else if (to.pathname === window.location.pathname && !to.hash) replaceEntry(state, title, url);
    else pushEntry(state, title, url);
    if (to.pathname === '/') begun = ''; // a new chat: the address of the one before comes too late
    moved();
  };
  history.replaceState = (...entryOf) => {
    replaceEntry(...entryOf);
    moved();
  };

  // Before Chainlit's router hears of it. A link to a place of this chat comes here, too, and then as a hashchange: once is
  // enough, since twice shows a place twice until the first one is taken away.
  window.addEventListener('popstate', (event) => {
    const [from, left] = [at, entry?.thumbtune];
    moved();
    const isPlace = left !== undefined || entry?.thumbtune !== undefined;
    if (isPlace && at === from) event.stopImmediatePropagation(); // it might draw the same chat again, from its top
    if (left === window.location.pathname && from !== left && CHAT.test(from)) {
      replaceEntry(history.state, '', from + window.location.hash); // the chat began while the place was open
      event.stopImmediatePropagation();
      moved();
    }
    if (open && named() !== open && history.state?.thumbtune === undefined) {
      const wasPlace = open !== 'passage';
      [open, shown] = ['', false];
      closePanel();
      if (wasPlace) post(CLOSE);
      requestAnimationFrame(refocus);
      markOpen();
    }
    if (named() && named() !== open) post(`/${named()}`);
    if (window.location.pathname === '/' && CHAT.test(from)) {
      event.stopImmediatePropagation(); // Chainlit would show the chat that was left, under this address
      const button = document.getElementById('new-chat-button');
      if (button) button.click();
      else window.location.reload();
    }
  }, true);

  // A chat that is opened is scrolled to its last question, until somebody scrolls: its cards grow while they load.
  const LAND_MS = 3000;
  let landed = '';
  let landing = 0; // until when
  const stay = () => {
    landing = 0;
  };
  const land = () => {
    const [, id] = CHAT.exec(window.location.pathname) ?? [];
    const questions = document.querySelectorAll('[data-step-type="user_message"]');
    if (!id || !questions.length) {
      if (!id) landed = begun; // which gets its address later, and is not opened then
      return;
    }
    if (id !== landed) [landed, landing] = [id, Date.now() + LAND_MS];
    if (Date.now() < landing) questions[questions.length - 1].scrollIntoView({ block: 'start' });
  };
  ['wheel', 'touchstart', 'pointerdown', 'keydown'].forEach((kind) =>
    document.addEventListener(kind, stay, { capture: true, passive: true }),
  );

  const isTyping = (node) => Boolean(node?.closest?.('input, textarea, [contenteditable=true]'));
  document.addEventListener('keydown', (event) => {
    if (event.key !== 'Escape') return;
    const menus = document.querySelectorAll('.tt-bar details[open]');
    menus.forEach((menu) => menu.removeAttribute('open'));
    if (!menus.length && open && !event.defaultPrevented && !isTyping(event.target)) closePanel();
  });
  document.addEventListener('click', (event) => {
    document.querySelectorAll('.tt-bar details[open]').forEach((menu) => {
      if (!menu.contains(event.target)) menu.removeAttribute('open');
    });
  });
  window.addEventListener('message', ({ data, source }) => {
    if (source !== window) return;
    if (data === 'thumbtune:leave') window.location.assign('/'); // this chat was deleted
    if (PLACE.test(`#${data?.place}`)) opened(data.place);
    if (data?.go === '/scoreboard') window.location.assign(data.go);
    if ('admin' in Object(data)) document.documentElement.toggleAttribute('data-member', !data.admin); // style.css
  });
  window.addEventListener('pagehide', () => {
    sessionStorage['thumbtune-chat'] = window.location.pathname + window.location.hash; // for the scoreboard's way back
  });
  // Chainlit's list of chats sets the address of a new thread. It is not rendered on a phone, and a reload would show an
  // empty chat: so the server sends the thread's id, and the address is set here if it is still missing.
  const THREAD = /^[0-9a-f-]{36}$/;
  const ADDRESS_MS = 1000;
  window.addEventListener('message', ({ data, source }) => {
    if (source !== window || !THREAD.test(data?.thread ?? '')) return;
    [begun, landed] = [data.thread, data.thread];
    setTimeout(() => {
      if (window.location.pathname === '/' && begun === data.thread) window.history.replaceState(window.history.state, '', `/thread/${data.thread}${window.location.hash}`);
    }, ADDRESS_MS);
  });

  // A link of an answer may be somebody else's: its words can say anything, and its address carry a text out of here.
  const stayHere = () => document.querySelector('.tt-leads')?.remove();
  const showAddress = (event) => {
    const link = event.target.closest?.('a[href]');
    if (!link || link.closest('.tt-leads') || link.origin === window.location.origin) return;
    if (event.type === 'auxclick' && event.button !== 1) return; // the menu of the right button shows the address itself
    event.preventDefault();
    event.stopImmediatePropagation();
    stayHere();
    if (!/^(https?|mailto):$/.test(link.protocol)) return;
    const note = Object.assign(document.createElement('div'), { className: 'tt-leads' });
    note.setAttribute('role', 'alertdialog');
    note.setAttribute('aria-label', t('page.leads'));
    const open = Object.assign(document.createElement('a'), {
      className: 'tt-button', href: link.href, target: '_blank', rel: 'noopener noreferrer', textContent: t('page.open_link'),
    });
    const close = Object.assign(document.createElement('button'), { className: 'tt-button', type: 'button', textContent: t('page.stay') });
    open.addEventListener('click', () => setTimeout(stayHere));
    close.addEventListener('click', stayHere);
    const said = Object.assign(document.createElement('p'), { textContent: `${t('page.leads')} ` });
    said.append(Object.assign(document.createElement('code'), { textContent: link.href }));
    note.append(said, open, close);
    document.body.append(note);
    close.focus();
  };
  ['click', 'auxclick'].forEach((kind) => window.addEventListener(kind, showAddress, true));

  ['picker', 'options'].forEach((name) =>
    document.head.append(Object.assign(document.createElement('script'), { type: 'module', src: `/public/${name}.js` })),
  );
  window.thumbtune.pdf = () => import('/public/pdf_page.js'); // here, since Chainlit's elements cannot import a file
  new MutationObserver(place).observe(document.documentElement, { childList: true, subtree: true });
  place();
  if (named()) post(`/${named()}`); // a link, or a reload
})();
