'use strict';
(() => {
  document.documentElement.classList.add('js');
  const main = document.getElementById('main');
  const box = document.getElementById('q');
  const told = document.getElementById('told');
  const all = (what, where = main) => [...where.querySelectorAll(what)];

  // Where a link leads is opened, whatever it lies in.
  const reveal = (at) => {
    for (let e = at; e; e = e.parentElement) if (e.localName === 'details') e.open = true;
  };
  const follow = () => {
    const to = document.getElementById(location.hash.slice(1));
    if (to && to !== main) { reveal(to); to.scrollIntoView(); }
  };
  addEventListener('hashchange', follow);
  follow();

  for (const [name, open] of [['open', true], ['close', false]]) {
    for (const button of all(`[data-${name}]`)) {
      button.addEventListener('click', () => {
        for (const e of all('details', document.getElementById(button.dataset[name]))) e.open = open;
      });
    }
  }

  const texts = new WeakMap();
  const has = (e, words) => {
    let text = texts.get(e);
    if (text === undefined) texts.set(e, text = e.textContent.toLowerCase());
    return words.every((word) => text.includes(word));
  };
  let before = null;
  const clear = () => {
    for (const e of all('[hidden]')) e.hidden = false;
    if (before) for (const [e, open] of before) e.open = open;
    before = null;
    told.textContent = '';
  };
  const search = () => {
    const words = box.value.toLowerCase().split(/\s+/).filter(Boolean);
    if (!words.length) return clear();
    before ??= all('details').map((e) => [e, e.open]);
    let hits = 0;
    let cards = 0;
    for (const e of all('tbody > tr, .fact, .finding')) {
      e.hidden = !has(e, words);
      if (!e.hidden) hits += 1;
    }
    const some = (e) => e.querySelector('tbody > tr:not([hidden]), .fact:not([hidden])') !== null;
    for (const e of all('details.card')) {
      const whole = has(e.firstElementChild, words);
      if (whole) for (const row of all('[hidden]', e)) row.hidden = false;
      e.hidden = !some(e);
      e.open = !e.hidden && !whole;
      if (!e.hidden) cards += 1;
    }
    for (const e of all('details.list')) {
      e.hidden = !some(e);
      e.open = some(e) && e.closest('details.card')?.open !== false;
    }
    for (const e of all('.scroll')) if (e.firstElementChild.localName === 'table') e.hidden = !some(e);
    // Children stand behind their parents.
    for (const e of all('.tree li').reverse()) {
      const below = e.querySelector(':scope > details > ul > li:not([hidden])') !== null;
      e.hidden = !below && !has(e.querySelector('.node'), words);
      if (below) e.firstElementChild.open = true;
    }
    for (const e of all('section section')) {
      const hit = ['tbody > tr', '.fact', '.finding', '.card', '.tree li'].map((what) => `${what}:not([hidden])`);
      e.hidden = e.querySelector(hit.join(', ')) === null;
    }
    scrollTo(0, 0);
    told.textContent = `${hits} ${hits === 1 ? 'row' : 'rows'}, ${cards} ${cards === 1 ? 'process' : 'processes'}`;
  };
  let waiting;
  box.addEventListener('input', () => {
    clearTimeout(waiting);
    waiting = setTimeout(search, 120);
  });
  addEventListener('keydown', (event) => {
    if (event.key === '/' && event.target !== box && !event.ctrlKey && !event.metaKey && !event.altKey) {
      event.preventDefault();
      box.focus();
    } else if (event.key === 'Escape' && event.target === box && box.value) {
      box.value = '';
      clear();
    }
  });
})();
