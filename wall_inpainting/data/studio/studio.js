// The studio's page, a widget for anywidget. The kernel decides what the wall is and what it looks like; here is what must follow
// a finger without waiting: curtain, zoom, strokes. Each command waits for the answer to the one before, so none can overlap.

const ICONS = {
  photo: '<rect x="3" y="5" width="18" height="14" rx="2"/><circle cx="9" cy="10" r="1.6"/><path d="m4 18 5-4 3 2 4-4 4 3.5"/>',
  camera: '<path d="M4 8h3l2-3h6l2 3h3v11H4z"/><circle cx="12" cy="13" r="3.5"/>', point: '<circle cx="12" cy="12" r="7"/><path d="M12 9v6M9 12h6"/>',
  avoid: '<circle cx="12" cy="12" r="7"/><path d="M9 12h6"/>', add: '<path d="M14 4l6 6-9 9H5v-6z"/>', remove: '<path d="M9 20h11M5 14l8-9 6 6-7.500 8H8z"/>',
  outline: '<path d="M5 7 13 4l7 6-3 9-11-2z"/>', undo: '<path d="M9 14 4 9l5-5"/><path d="M4 9h10a6 6 0 0 1 0 12h-3"/>', theme: '<circle cx="12" cy="12" r="8"/><path d="M12 4v16M12 4a8 8 0 0 1 0 16" fill="currentColor"/>',
  plus: '<path d="M12 5v14M5 12h14"/>', minus: '<path d="M5 12h14"/>', fit: '<path d="M4 9V4h5M20 9V4h-5M4 15v5h5M20 15v5h-5"/>', close: '<path d="m6 6 12 12M18 6 6 18"/>',
  find: '<path d="m12 3 1.8 5.200L19 10l-5.200 1.800L12 17l-1.800-5.200L5 10l5.200-1.800z"/><path d="M19 16v4M17 18h4"/>', save: '<path d="M12 4v11M7 11l5 5 5-5M5 20h14"/>' }
const icon = name => { const span = document.createElement('span'); span.innerHTML = `<svg viewBox="0 0 24 24" aria-hidden="true">${ICONS[name]}</svg>`; return span.firstChild }

function h(tag, props, ...children) { // an element; properties beginning with "on" are listeners
  const made = document.createElement(tag)
  for (const [name, value] of Object.entries(props || {}))
    if (name.startsWith('on')) made.addEventListener(name.slice(2), value)
    else if (name == 'style') made.style.cssText = value
    else if (name in made && !name.startsWith('aria')) made[name] = value
    else if (value !== undefined && value !== false) made.setAttribute(name, value)
  made.append(...children.flat().filter(child => child !== undefined && child !== null && child !== false))
  return made
}
const TOOLS = { // name, icon, what the panel says while it is chosen
  point: ['Wall', 'point', 'Click anywhere on the wall. Is some of it missing? Click there. Is something else taken for wall? Right click there.'],
  avoid: ['Not wall', 'avoid', 'Click on what was taken for wall: a picture, a lamp, the ceiling.'],
  add: ['Paint on', 'add', 'Draw over what is wall.'], remove: ['Erase', 'remove', 'Draw over what is no wall.'],
  outline: ['Outline', 'outline', 'Click the corners of a part of the wall, then add its inside or take it away.'] }
const STEPS = ['Photo', 'Wall', 'Colours', 'Save']
const PART = 2**21 // bytes of an upload sent at once: JupyterLab's server takes messages of 10 MB
const NEAR = 24    // px around the curtain's line where a finger takes it
const STILL = 6    // px that a click may move
const clamp = (value, low, high) => Math.min(Math.max(value, low), high)
const close = (a, b) => Math.hypot(a[0] - b[0], a[1] - b[1])

const STEPS_KEPT = new Set(['point', 'corner', 'outline', 'stroke', 'guess', 'refine', 'truth', 'clear', 'undo', 'paint', 'rename', 'drop', 'light', 'name', 'engine']) // what makes a wall and its paints
const DRAFT = 'wall studio ' + location.pathname // one a page

function draft(kind, value) { // a promise: the browser's own store holds the photo and the steps, for a page that is closed by mistake or by a phone
  return new Promise(done => {
    const open = indexedDB.open('wall-studio', 1)
    open.onupgradeneeded = () => open.result.createObjectStore('drafts')
    open.onerror = () => done(undefined) // a private window has no store
    open.onsuccess = () => {
      const store = open.result.transaction('drafts', kind == 'get' ? 'readonly' : 'readwrite').objectStore('drafts')
      const asked = kind == 'get' ? store.get(DRAFT) : kind == 'put' ? store.put(value, DRAFT) : store.delete(DRAFT)
      asked.onsuccess = () => { done(asked.result); open.result.close() }
      asked.onerror = () => { done(undefined); open.result.close() }
    }
  }).catch(() => undefined)
}

class Studio {
  constructor(model, el) {
    Object.assign(this, { model, el, step: 0, tool: 'point', mode: 'curtain', split: .5, theme: null, shown: null, state: { paints: [], corners: [], places: [], was: [] }, about: { samples: [], swatches: [], engines: [] },
      pictures: {}, details: {}, pointers: new Map(), zoom: 1, middle: null, stroke: null, cursor: null, waiting: new Map(), queue: Promise.resolve(), number: 0, running: 0, brush: 6, saved: [] })
    this.heard = (message, buffers) => this.hear(message, buffers)
    model.on('msg:custom', this.heard)
    this.build()
    this.watch = new ResizeObserver(() => this.draw())
    this.watch.observe(this.stage)
    this.scheme = matchMedia('(prefers-color-scheme: dark)')
    this.rescheme = () => this.setTheme()
    this.scheme.addEventListener('change', this.rescheme)
    this.setTheme()
    this.fill()
    this.ask('hello')
    draft('get').then(found => { if (found && Date.now() - found.time < 864e5) { this.offer = found; this.fill() } }) // a day
  }
  close() { this.model.off('msg:custom', this.heard); this.watch.disconnect(); this.scheme.removeEventListener('change', this.rescheme) }

  // ---- talking to the kernel
  ask(act, args = {}, buffers = [], quiet = false) { // a promise of the answer; in order, one at a time
    this.running++
    if (!quiet) this.work()
    const run = () => new Promise(done => {
      const number = ++this.number
      this.waiting.set(number, done)
      this.model.send({ number, act, args }, undefined, buffers)
    })
    const answer = this.queue.then(run)
    this.queue = answer.catch(() => {})
    this.expect()
    return answer.then(reply => { this.running--; this.expect(); this.work(); if (!reply.error) this.note_step(act, args); if (reply.error) this.say(reply.error, true); else if (reply.said) this.say(reply.said); return reply })
  }
  expect() { // a kernel that ended says nothing
    clearTimeout(this.alarm)
    if (this.running) this.alarm = setTimeout(() => this.say('No answer for two minutes. If none comes, reload the page: what was saved is in its folder.', true), 120000)
  }
  async hear(message, buffers) {
    this.expect()
    if (message.kind == 'picture') return this.keep(message, buffers[0])
    if (message.kind == 'progress') return this.work(message.share, message.said)
    if (message.kind == 'about') { this.about = message.about; return this.fill() }
    if (message.kind == 'state') return this.take(message.state)
    if (message.kind == 'done') { const done = this.waiting.get(message.number); this.waiting.delete(message.number); if (done) done({ ...message.reply, error: message.error, buffers }) }
  }
  async keep({ what, key, ...more }, buffer) {
    const slot = this.pictures[what + key] = { ...more }
    slot.bitmap = await createImageBitmap(new Blob([buffer]))
    if (what == 'wall') slot.tint = tinted(slot.bitmap)
    this.draw()
  }
  take(state) {
    const before = this.state
    this.state = state
    if (!state.photo || before.photo?.id != state.photo.id) { this.zoom = 1; this.telling = false; this.tool = 'point'; this.middle = null; this.details = {}; this.pictures = Object.fromEntries(Object.entries(this.pictures).filter(([name]) => state.photo && name == 'photo' + state.photo.id)); this.saved = []; this.cursor = null }
    if (before.wall != state.wall) this.stroke = this.stroke?.pointer ? this.stroke : null
    if (!state.paints.some(paint => paint.color == this.shown)) this.shown = state.paints.at(-1)?.color
    if (!state.photo && this.step) this.step = 0
    this.fill()
    this.draw()
  }
  work(share, said) { // the bar: at once as locked, seen after a third of a second
    this.root.setAttribute('aria-busy', this.running > 0)
    if (!this.running) { clearTimeout(this.later); this.later = null; this.bar.hidden = true; this.share = null; this.busy.textContent = ''; return }
    if (share !== undefined) { this.share = share; this.busy.textContent = said || '' }
    const show = () => { this.bar.hidden = false; this.bar.classList.toggle('unknown', this.share == null); this.bar.firstChild.style.width = this.share == null ? '' : `${Math.max(4, 100*this.share)}%`; if (this.busy.textContent) this.say(this.busy.textContent, false, true) }
    if (!this.bar.hidden) show()
    else if (!this.later) this.later = setTimeout(show, 350)
  }
  say(text, bad = false, passing = false) {
    this.message.classList.toggle('bad', bad)
    this.message.firstChild.textContent = text
    this.message.hidden = !text
    this.passing = passing
    clearTimeout(this.fade)
    if (text && !bad) this.fade = setTimeout(() => { this.message.hidden = true }, passing ? 1500 : 6000)
  }
  async act(name, args, buffers) { // what a button does: not twice while something long runs
    if (this.locked) return
    if (this.message.classList.contains('bad')) this.say('')
    return this.ask(name, args, buffers)
  }
  async hold(job) { // a long command: all buttons wait for its end
    if (this.locked) return
    this.locked = true; this.root.classList.add('locked'); this.lock()
    try { return await job() } finally { this.locked = false; this.root.classList.remove('locked'); this.lock() }
  }
  lock() { for (const control of this.root.querySelectorAll('.ws-panel button, .ws-steps button, .ws-undo')) control.setAttribute('aria-disabled', this.locked || control.dataset.off == 'true') }

  // ---- a page that was closed by mistake
  begin_draft(start) { this.offer = null; this.kept = { ...start, name: this.state.photo.name, id: this.state.photo.id, steps: [], time: Date.now() }; if (!this.replaying) draft('put', this.kept) }
  note_step(act, args) {
    if (!this.kept || !STEPS_KEPT.has(act)) return
    if (this.state.photo?.id != this.kept.id) { this.kept = null; draft('delete'); return } // undo went back behind it
    this.kept.steps.push([act, args])
    this.kept.time = Date.now()
    clearTimeout(this.keeping)
    this.keeping = setTimeout(() => this.kept && draft('put', this.kept), 200)
  }
  async go_on() { // the photo and all steps again
    const { file, sample, steps } = this.offer
    this.replaying = true
    file ? await this.upload(file) : await this.sample(sample)
    await this.hold(async () => { for (const [i, [act, args]] of steps.entries()) { this.work(i/steps.length, `step ${i + 1} of ${steps.length}`); await this.ask(act, args) } })
    this.replaying = false
    if (this.kept) draft('put', this.kept)
    if (this.state.paints.length) this.go(2)
  }

  // ---- photos
  async upload(file) {
    if (!file) return
    const limit = this.about.limit
    if (file.size > limit*1e6) return this.say(`${file.name} has ${Math.round(file.size/1e6)} MB: a photo may have ${limit} MB at most`, true)
    const reply = await this.hold(async () => {
      const parts = Math.max(1, Math.ceil(file.size/PART))
      for (let part = 0; part < parts; part++) {
        const answer = await this.ask('upload', { name: file.name, part, parts }, [await file.slice(part*PART, (part + 1)*PART).arrayBuffer()])
        if (answer.error || part == parts - 1) return answer
        this.work((part + 1)/parts, `${file.name}: ${Math.round(100*(part + 1)/parts)}%`)
      }
    })
    if (reply && !reply.error) { this.begin_draft({ file }); this.go(1) }
  }
  async sample(name) { const reply = await this.hold(() => this.ask('sample', { name })); if (reply && !reply.error) { this.begin_draft({ sample: name }); this.go(1) } }
  chooser(capture) {
    const input = h('input', { type: 'file', accept: 'image/*,.heic,.heif,.tif,.tiff', hidden: true, onchange: () => { this.upload(input.files[0]); input.value = '' } })
    if (capture) input.setAttribute('capture', 'environment')
    return input
  }

  // ---- the frame
  build() {
    const button = (content, onclick, props = {}) => h('button', { type: 'button', onclick, ...props }, content)
    this.button = (content, onclick, props) => button(content, event => { if (event.currentTarget.getAttribute('aria-disabled') != 'true') onclick(event) }, props)
    this.canvas = h('canvas', { tabIndex: 0, role: 'application', onkeydown: event => this.key(event), onfocus: () => this.draw(), onblur: () => { this.cursor = null; this.draw() } })
    this.context = this.canvas.getContext('2d')
    for (const name of ['down', 'move', 'up', 'cancel']) this.canvas.addEventListener('pointer' + name, event => this[name](event))
    this.canvas.addEventListener('wheel', event => this.wheel(event), { passive: false })
    this.canvas.addEventListener('contextmenu', event => { if (this.step == 1) event.preventDefault() })
    this.canvas.addEventListener('dblclick', event => { if (this.step > 1) this.zoomTo(this.zoom > 1.01 ? 1 : this.full(), this.at(event)) })
    this.bar = h('div', { className: 'ws-work unknown', hidden: true }, h('i'))
    this.busy = h('span', { hidden: true })
    this.message = h('div', { className: 'ws-said', role: 'status', 'aria-live': 'polite', hidden: true }, h('span'), button(icon('close'), () => this.say(''), { className: 'plain', title: 'close', 'aria-label': 'close message' }))
    this.percent = h('output', { 'aria-label': 'zoom' })
    this.zoomer = h('div', { className: 'ws-zoom' }, button(icon('minus'), () => this.zoomTo(this.zoom/1.5), { title: 'smaller (−)', 'aria-label': 'smaller' }), this.percent,
      button(icon('plus'), () => this.zoomTo(this.zoom*1.5), { title: 'larger (+)', 'aria-label': 'larger' }), button(icon('fit'), () => this.zoomTo(1), { title: 'all of the photo (0)', 'aria-label': 'fit' }),
      button('1:1', () => this.zoomTo(this.full()), { title: "the photo's own pixels (1)", 'aria-label': '100%' }))
    this.modes = h('div', { className: 'ws-modes', role: 'group', 'aria-label': 'view' }, [['curtain', 'Before | after'], ['side', 'Side by side']].map(([mode, text]) => button(text, () => { this.mode = mode; this.fill(); this.draw(); this.need() }, { 'data-mode': mode })))
    this.files = this.chooser(false); this.shots = this.chooser(true)
    this.resume = h('button', { type: 'button', hidden: true, onclick: () => this.go_on() })
    this.drop = h('div', { className: 'ws-drop' }, h('div', {}, icon('photo'), h('h2', {}, 'Which wall would you like to paint?'), h('p', { className: 'wide' }, 'Drop a photo here, or choose one.'),
      h('div', { className: 'ws-row', style: 'justify-content:center' }, this.button([icon('photo'), 'Choose a photo'], () => this.files.click(), { className: 'main' }), this.button([icon('camera'), 'Take a photo'], () => this.shots.click(), { className: 'ws-shoot' })), this.resume))
    this.stage = h('div', { className: 'ws-stage' }, this.canvas, this.bar, this.drop, this.modes, this.zoomer, this.message, this.busy)
    this.panel = h('div', { className: 'ws-panel' })
    this.undoer = this.button(icon('undo'), () => this.act('undo'), { className: 'plain ws-undo' })
    this.steps = h('nav', { className: 'ws-steps', 'aria-label': 'steps' }, STEPS.map((text, i) => this.button([h('b', {}, `${i + 1}`), text], () => this.go(i), {})))
    this.head = h('div', { className: 'ws-head' }, h('span', { className: 'ws-brand' }, 'Wall studio'), h('span', { className: 'ws-head-end' }, this.undoer, button(icon('theme'), () => this.setTheme(this.root.classList.contains('dark') ? 'light' : 'dark'), { className: 'plain', title: 'light or dark', 'aria-label': 'light or dark' })))
    this.root = h('div', { className: 'ws' + (this.model.get('page') ? ' page' : ''), onkeydown: event => this.hotkey(event) }, h('div', { className: 'ws-frame' }, this.head, this.steps, this.stage, this.panel), this.files, this.shots)
    for (const kind of ['dragover', 'dragleave', 'drop']) this.root.addEventListener(kind, event => { event.preventDefault(); this.root.classList.toggle('over', kind == 'dragover'); if (kind == 'drop') this.upload(event.dataTransfer.files[0]) })
    this.el.append(this.root)
  }
  setTheme(theme) {
    if (theme) this.theme = theme
    const lab = !this.model.get('page') && document.body.dataset.jpThemeLight
    const dark = this.theme ? this.theme == 'dark' : lab ? lab == 'false' : this.scheme.matches
    this.root.classList.toggle('dark', dark)
    this.draw()
  }
  go(step) {
    if (step && !this.state.photo) return this.say('First choose a photo.')
    if (step > 1 && !this.state.wall) return this.say('First click on the wall.')
    if (this.step == 1 && step != 1 && this.tool == 'white') this.tool = 'point'
    this.step = step
    this.fill(); this.draw(); this.need()
    this.panel.scrollTop = 0
  }
  fill() { // the panel of the step; what has the focus keeps it
    const { state, step, button } = this, held = document.activeElement?.dataset?.key, place = document.activeElement?.selectionStart
    this.drop.hidden = !!state.photo
    this.resume.hidden = !this.offer
    if (this.offer) this.resume.textContent = `Go on with ${this.offer.name}`
    this.canvas.hidden = this.zoomer.hidden = !state.photo
    this.modes.hidden = step < 2 || !state.wall || !state.paints.length || this.tool == 'white'
    for (const mode of this.modes.children) mode.setAttribute('aria-pressed', mode.dataset.mode == this.mode)
    ;[...this.steps.children].forEach((each, i) => { i == step ? each.setAttribute('aria-current', 'step') : each.removeAttribute('aria-current'); each.dataset.off = i && !state.photo || i > 1 && !state.wall ? 'true' : '' })
    this.undoer.dataset.off = state.undo ? '' : 'true'
    this.undoer.title = state.undo ? `undo ${state.undo} (Ctrl+Z)` : 'nothing to undo'
    this.undoer.setAttribute('aria-label', this.undoer.title)
    this.canvas.setAttribute('aria-label', step == 1 ? 'The photo. Arrow keys move the cross, Enter clicks, plus and minus zoom.' : 'The photo, before and after. Left and right move the line, plus and minus zoom.')
    this.canvas.style.cursor = step == 1 || this.tool == 'white' ? 'crosshair' : this.mode == 'curtain' ? 'ew-resize' : 'grab'
    this.panel.replaceChildren(...[this.photoPanel, this.wallPanel, this.colorPanel, this.savePanel][step].call(this).flat().filter(Boolean))
    this.lock()
    if (held && held != document.activeElement?.dataset?.key) { const again = this.panel.querySelector(`[data-key="${held}"]`); if (again) { again.focus({ preventScroll: true }); if (place != null && again.setSelectionRange && again.type == 'text') again.setSelectionRange(place, place) } }
  }
  photoPanel() {
    const { state, button, about } = this
    return [h('h2', {}, state.photo ? state.photo.name : 'Your photo'),
      state.photo && h('p', {}, `${state.photo.width} × ${state.photo.height} px`, ...state.photo.notes.flatMap(note => [h('br'), note])),
      h('div', { className: 'ws-row' }, this.button([icon('photo'), state.photo ? 'Another photo' : 'Choose a photo'], () => this.files.click(), { className: state.photo ? '' : 'main' }), this.button([icon('camera'), 'Take a photo'], () => this.shots.click(), { className: 'ws-shoot' })),
      h('p', {}, about.heic ? 'JPEG, PNG, TIFF, WebP and HEIC, up to ' + about.limit + ' MB.' : 'JPEG, PNG, TIFF and WebP, up to ' + (about.limit || 200) + ' MB.'),
      h('hr'), h('p', {}, 'Or look around in a sample room:'),
      h('div', { className: 'ws-samples' }, about.samples.map(sample => this.button(h('img', { src: sample.picture, alt: '' }), () => this.sample(sample.name), { title: sample.name, 'aria-label': sample.name }))),
      state.photo && h('div', { className: 'ws-end' }, this.button('Find the wall', () => this.go(1), { className: 'main' }))]
  }
  wallPanel() {
    const { state, tool } = this, [, , hint] = TOOLS[tool] || TOOLS.point, brush = tool == 'add' || tool == 'remove'
    return [h('h2', {}, state.wall ? 'Is this the wall?' : 'Where is the wall?'), h('p', { className: 'ws-hint' }, hint),
      h('div', { className: 'ws-tools', role: 'group', 'aria-label': 'tools' }, Object.entries(TOOLS).map(([name, [text, sign]]) => this.button([icon(sign), text], () => { this.tool = name; this.fill(); this.draw() }, { 'aria-pressed': tool == name, 'data-key': 'tool-' + name }))),
      brush && h('label', { className: 'ws-field' }, 'size of the brush', h('input', { type: 'range', min: 1, max: 20, value: this.brush, 'data-key': 'brush', oninput: event => { this.brush = +event.target.value; this.draw() } })),
      tool == 'outline' && h('div', { className: 'ws-row' }, this.button('Add inside', () => this.act('outline', { action: 'add' }), { 'data-key': 'o-add', 'data-off': state.corners.length < 3 }), this.button('Take away inside', () => this.act('outline', { action: 'remove' }), { 'data-key': 'o-rem', 'data-off': state.corners.length < 3 })),
      h('hr'), h('div', { className: 'ws-tools' },
        this.button([icon('find'), 'Guess'], () => this.act('guess'), { title: 'find it without a click', 'data-key': 'guess' }), this.button('Snap to edges', () => this.act('refine'), { title: "move the wall's border to the edges in the photo", 'data-key': 'refine', 'data-off': !state.wall }),
        state.sample && this.button('True wall', () => this.act('truth'), { title: "the sample room's own mask", 'data-key': 'truth' }), this.button('Clear', () => this.act('clear'), { 'data-key': 'clear', 'data-off': !state.wall && !state.corners.length })),
      h('div', { className: 'ws-end' }, this.button('Choose colours', () => this.go(2), { className: 'main', 'data-off': !state.wall, 'data-key': 'next' }))]
  }
  colorPanel() {
    const { state, about } = this
    const add = (color, name) => this.act('paint', { color, name }).then(reply => { if (reply && !reply.error) { this.shown = reply.color; this.typed = ''; this.fill(); this.draw(); this.need() } })
    const paint = (each, i) => h('div', { className: 'ws-paint' + (each.color == this.shown ? ' shown' : '') },
      this.button('', () => { this.shown = each.color; this.fill(); this.draw(); this.need() }, { className: 'chip', style: `background:${each.color};--c:${each.color}`, title: `show ${each.name}`, 'aria-label': `show ${each.name}`, 'aria-pressed': each.color == this.shown, 'data-key': 'show' + i }),
      h('div', { className: 'words' }, h('input', { type: 'text', value: each.name, 'aria-label': 'name of the paint', 'data-key': 'name' + i, maxLength: 60, onkeydown: event => { if (event.key == 'Enter') event.target.blur() }, onchange: event => this.ask('rename', { place: i, name: event.target.value }) }),
        h('small', {}, [each.color, each.note].filter(Boolean).join(' · '))),
      this.button(icon('close'), () => this.act('drop', { place: i }), { className: 'plain', title: `take ${each.name} away`, 'aria-label': `take ${each.name} away`, 'data-key': 'drop' + i }))
    this.finder = h('div', { className: 'ws-found' })
    this.list(add)
    const field = h('input', { type: 'text', placeholder: 'a name, a code, or #7a9e7e', value: this.typed || '', 'aria-label': 'colour', 'data-key': 'color', autocomplete: 'off', spellcheck: false,
      oninput: () => { this.typed = field.value; clearTimeout(this.typing); this.typing = setTimeout(() => this.search(field.value, add), 200) }, onkeydown: event => { if (event.key == 'Enter' && field.value.trim()) { clearTimeout(this.typing); add(field.value.trim()) } } })
    const picker = h('input', { type: 'color', value: this.shown || '#7a9e7e', title: 'pick any colour', 'aria-label': 'pick any colour', 'data-key': 'picker', onchange: () => add(picker.value) })
    return [h('h2', {}, 'Which colours?'), state.paints.length > 0 && h('div', { className: 'ws-paints' }, state.paints.map(paint)),
      h('div', { className: 'ws-row' }, h('div', { className: 'grow' }, field), picker), this.finder,
      h('div', { className: 'ws-swatches' }, about.swatches.map(([name, color]) => this.button('', () => add(color, name), { style: `background:${color};--c:${color}`, title: `${name} ${color}`, 'aria-label': name, 'data-key': 'sw' + color }))),
      h('hr'), ...this.lightPanel(),
      h('div', { className: 'ws-end' }, this.button([icon('save'), 'Save'], () => this.go(3), { className: 'main', 'data-off': !state.paints.length, 'data-key': 'next' }))]
  }
  lightPanel() {
    const { state, about } = this, set = change => this.act('light', { light: state.light, was: state.was, white: state.white, bounce: state.bounce, ...change }).then(() => this.need())
    const kind = state.was.length || this.telling ? 'was' : state.white ? 'white' : state.light
    const choice = h('select', { 'data-key': 'light', 'aria-label': 'show the paint as', onchange: () => { const kind = choice.value; this.telling = kind == 'was'; this.tool = kind == 'white' ? 'white' : this.tool == 'white' ? 'point' : this.tool
        if (kind == 'white') { this.say('Click on something white: a skirting board, a socket, paper.'); this.fill(); this.draw() } else if (kind == 'was' && !state.was.length) this.fill(); else set({ light: kind == 'exact' ? 'exact' : 'room', was: kind == 'was' ? state.was : [], white: null }) } },
      [['exact', 'the colour itself'], ['room', "as it looks in this room's light"], ['was', '… told by the paint there now'], ['white', '… told by something white']].map(([value, text]) => h('option', { value, selected: value == (this.tool == 'white' ? 'white' : kind) }, text)))
    const was = kind == 'was' && this.tool != 'white' && h('label', { className: 'ws-field' }, 'the paint on the wall now', h('span', { className: 'ws-row' }, h('span', { className: 'grow' },
      h('input', { type: 'text', value: state.was.join(', '), placeholder: 'its name or code, if you know it', 'data-key': 'was', 'aria-label': 'the paint on the wall now', onchange: event => set({ light: 'room', white: null, was: event.target.value.split(/,(?![^(]*\))/).map(text => text.trim()).filter(Boolean) }) })),
      h('input', { type: 'color', value: state.was[0] || '#e5e0d5', 'aria-label': 'pick the paint on the wall now', 'data-key': 'was-pick', onchange: event => set({ light: 'room', white: null, was: [event.target.value] }) })))
    const bounce = h('label', { className: 'ws-check', title: 'ceiling, floor and furniture change by the light that the new paint throws on them' }, h('input', { type: 'checkbox', checked: !!state.bounce, 'data-key': 'bounce', onchange: event => set({ bounce: event.target.checked }) }), 'the new paint lights the rest of the room, too')
    return [h('label', { className: 'ws-field' }, 'show the paint as', choice), was, bounce,
      about.engines.length > 2 && h('label', { className: 'ws-field' }, 'engine', h('select', { 'data-key': 'engine', onchange: event => this.act('engine', { engine: event.target.value }).then(() => this.need()) }, about.engines.map(name => h('option', { value: name, selected: name == state.engine }, name)))),
      state.engine == 'diffusion' && h('label', { className: 'ws-field' }, 'settings', h('select', { 'data-key': 'settings', onchange: event => this.act('engine', { engine: 'diffusion', settings: event.target.value }).then(() => this.need()) }, about.settings.map(name => h('option', { value: name, selected: name == state.settings }, name))))]
  }
  savePanel() {
    const { state, about } = this, suffix = this.suffix || state.suffix
    const name = h('input', { type: 'text', value: state.name || '', maxLength: 60, 'data-key': 'room', onchange: event => this.ask('name', { name: event.target.value }) })
    const kind = h('select', { 'data-key': 'suffix', onchange: () => { this.suffix = kind.value } }, [['.jpg', 'JPEG: small'], ['.png', 'PNG: every pixel'], ['.tif', 'TIFF'], ['.webp', 'WebP']].map(([value, text]) => h('option', { value, selected: value == suffix }, text)))
    const saved = this.saved.length ? this.saved : state.saved || []
    return [h('h2', {}, 'Keep it'), h('p', {}, state.paints.length ? `${state.paints.length} ${state.paints.length > 1 ? 'pictures' : 'picture'} in full size, the mask, a sheet with all paints, and a page to send to somebody.` : 'Choose a colour first.'),
      h('label', { className: 'ws-field' }, 'name of the room', name), h('label', { className: 'ws-field' }, 'pictures as', kind),
      this.button([icon('save'), 'Save'], () => this.save(name.value, kind.value), { className: 'main', 'data-off': !state.paints.length, 'data-key': 'save' }),
      h('p', {}, 'Into ', h('code', {}, about.folder || '')),
      saved.length > 0 && h('div', { className: 'ws-files' }, h('h2', {}, 'Saved'), saved.map(file => this.button([file, icon('save')], () => this.fetch(file), { title: `download ${file}`, 'data-key': 'f' + file })))]
  }
  async search(text, add) { // what the field holds now, whatever came in between
    const reply = text.trim() ? await this.ask('find', { text }, [], true) : { found: [] }
    if (text != this.typed || !reply.found) return
    this.found = reply.found
    if (this.step == 2) this.list(add)
  }
  list(add) {
    const found = this.typed ? this.found || [] : []
    this.finder.replaceChildren(...found.map(({ name, color, note }) => this.button([h('i', { style: `background:${color}` }), h('span', {}, name, h('small', {}, [color, note].filter(Boolean).join(' · ')))], () => add(color, name), { 'data-key': 'found' + name + color })))
    this.finder.hidden = !found.length
  }
  async save(name, suffix, overwrite = false) {
    const reply = await this.hold(() => this.ask('save', { name, suffix, overwrite }))
    if (!reply || reply.error) return
    if (reply.existing) {
      const choice = await this.choose(`${reply.existing.length > 1 ? `${reply.existing.length} files are` : 'A file is'} there already:`, reply.existing, [['Replace', 'replace'], ['Keep both', 'both', 'main'], ['Cancel', null]])
      if (choice == 'replace') return this.save(name, suffix, true)
      if (choice == 'both') return this.save(reply.free, suffix)
      return
    }
    this.saved = reply.files
    this.fill()
  }
  choose(text, lines, choices) { // a promise of the choice
    return new Promise(done => {
      const before = document.activeElement, end = value => { sheet.remove(); before?.focus?.(); done(value) }
      const list = lines.slice(0, 6).map(line => h('li', {}, line))
      const sheet = h('div', { className: 'ws-ask', role: 'alertdialog', 'aria-modal': true, 'aria-label': text, onkeydown: event => {
        if (event.key == 'Escape') end(null)
        if (event.key == 'Tab') { const all = [...sheet.querySelectorAll('button')], i = all.indexOf(document.activeElement); event.preventDefault(); all[(i + (event.shiftKey ? all.length - 1 : 1))%all.length].focus() }
        event.stopPropagation() } },
        h('div', {}, h('h2', {}, text), h('ul', { style: 'margin:0;padding-left:20px' }, list), h('div', { className: 'ws-row' }, choices.map(([label, value, kind]) => h('button', { type: 'button', className: kind || '', onclick: () => end(value) }, label)))))
      this.root.append(sheet)
      sheet.querySelector('button.main').focus()
    })
  }
  async fetch(file) {
    const reply = await this.ask('fetch', { file })
    if (reply.error) return
    const link = h('a', { href: URL.createObjectURL(new Blob([reply.buffers[0]])), download: file.split('/').pop() })
    link.click()
    setTimeout(() => URL.revokeObjectURL(link.href), 10000)
  }

  // ---- what is needed to be seen
  visible() { return this.step < 2 ? [] : this.mode == 'side' ? this.state.paints : this.state.paints.filter(paint => paint.color == this.shown) }
  async need() { // have what is on view painted
    if (this.needing) return this.again = true
    this.needing = true
    do {
      this.again = false
      const missing = this.visible().filter(paint => !this.pictures['paint' + paint.key]).map(paint => paint.color)
      if (!missing.length || !this.state.wall) break
      const reply = await this.ask('look', { colors: missing })
      if (reply.error) break
    } while (true)
    this.needing = false
    this.draw()
    if (this.again) { this.again = false; this.need() }
  }
  closer() { // the photo's own pixels for what is on view
    clearTimeout(this.looking)
    const photo = this.state.photo
    if (!photo || photo.shown >= photo.width || this.scale()*this.dpr() <= 1.02*photo.shown/photo.width) return
    this.looking = setTimeout(async () => {
      const cell = this.cells()[0], [left, top] = this.toPhoto([cell.x, cell.y], cell), [right, bottom] = this.toPhoto([cell.x + cell.w, cell.y + cell.h], cell)
      const box = [Math.floor(clamp(left, 0, photo.width)), Math.floor(clamp(top, 0, photo.height)), Math.ceil(clamp(right, 0, photo.width)), Math.ceil(clamp(bottom, 0, photo.height))]
      for (const what of ['photo', ...this.visible().map(paint => paint.key)]) {
        const had = this.details[what]
        if (had && had.box[0] <= box[0] && had.box[1] <= box[1] && had.box[2] >= box[2] && had.box[3] >= box[3]) continue
        const color = this.visible().find(paint => paint.key == what)?.color
        const reply = await this.ask('detail', { color, box })
        if (!reply.error && photo.id == this.state.photo?.id) { this.details[what] = { box: reply.box, bitmap: await createImageBitmap(new Blob([reply.buffers[0]])) }; this.draw(true) }
      }
    }, 180)
  }

  // ---- places: the photo's pixels, and the stage's
  dpr() { return window.devicePixelRatio || 1 }
  cells() { // one, or a grid of equal ones with the photo first
    const w = this.stage.clientWidth, tall = this.stage.clientHeight, n = this.step > 1 && this.mode == 'side' && this.tool != 'white' && this.state.paints.length ? 1 + this.state.paints.length : 1
    if (n == 1) return [{ x: 0, y: 0, w, h: tall, what: 'only' }]
    const { width, height } = this.state.photo, foot = 30, top = 58, fit = columns => { const rows = Math.ceil(n/columns); return Math.min((w/columns - 8)/width, ((tall - top)/rows - foot - 8)/height) }
    let columns = 1
    for (let c = 2; c <= n; c++) if (fit(c) > fit(columns)*1.02) columns = c
    const rows = Math.ceil(n/columns), cw = w/columns, ch = (tall - top)/rows
    return Array.from({ length: n }, (_, i) => ({ x: i%columns*cw + 4, y: top + Math.floor(i/columns)*ch + 4, w: cw - 8, h: ch - 8 - foot, what: i ? this.state.paints[i - 1] : null, label: true }))
  }
  fitted(cell) { const { width, height } = this.state.photo; return Math.min(cell.w/width, cell.h/height) }
  scale(cell = this.cells()[0]) { return this.fitted(cell)*this.zoom } // css px for a px of the photo
  full() { return Math.max(1, 1/this.dpr()/this.fitted(this.cells()[0])) }
  origin(cell) {
    const { width, height } = this.state.photo, s = this.scale(cell), [mx, my] = this.middle || [width/2, height/2]
    const hold = (middle, size, room) => size*s <= room ? (room - size*s)/2 : clamp(room/2 - middle*s, room - size*s, 0)
    const whole = length => Math.round(length*this.dpr())/this.dpr() // else pixels at 1:1 would be mixed with their neighbours
    return [whole(cell.x + hold(mx, width, cell.w)), whole(cell.y + hold(my, height, cell.h))]
  }
  toPhoto([x, y], cell) { const [ox, oy] = this.origin(cell), s = this.scale(cell); return [(x - ox)/s, (y - oy)/s] }
  toStage([x, y], cell) { const [ox, oy] = this.origin(cell), s = this.scale(cell); return [ox + x*s, oy + y*s] }
  at(event) { const box = this.canvas.getBoundingClientRect(); return [event.clientX - box.left, event.clientY - box.top] }
  cellAt([x, y]) { return this.cells().find(cell => x >= cell.x && x < cell.x + cell.w && y >= cell.y && y < cell.y + cell.h) || this.cells()[0] }
  inside([x, y]) { const { width, height } = this.state.photo; return x >= 0 && y >= 0 && x < width && y < height }
  zoomTo(zoom, place) { // about a place of the stage
    const cell = place ? this.cellAt(place) : this.cells()[0], about = place || [cell.x + cell.w/2, cell.y + cell.h/2], fixed = this.toPhoto(about, cell)
    this.zoom = clamp(zoom, 1, Math.max(8, 4*this.full()))
    const s = this.scale(cell)
    this.middle = [fixed[0] + (cell.x + cell.w/2 - about[0])/s, fixed[1] + (cell.y + cell.h/2 - about[1])/s]
    this.draw()
  }
  pan(dx, dy) {
    const cell = this.cells()[0], s = this.scale(cell), seen = this.toPhoto([cell.x + cell.w/2, cell.y + cell.h/2], cell)
    this.middle = [seen[0] - dx/s, seen[1] - dy/s]
    this.draw()
  }

  // ---- fingers, mouse, keys
  get acts() { return this.step == 1 || this.tool == 'white' && this.step == 2 }
  get brushing() { return this.step == 1 && (this.tool == 'add' || this.tool == 'remove') }
  down(event) {
    if (!this.state.photo || event.button == 2 && !(this.step == 1 && this.pointing)) return
    this.canvas.setPointerCapture(event.pointerId)
    const place = this.at(event)
    this.cursor = null
    this.pointers.set(event.pointerId, place)
    if (this.pointers.size == 2) { this.stroke = null; this.gesture = { kind: 'pinch' } }
    else if (this.pointers.size == 1) {
      const cell = this.cellAt(place), near = Math.abs(place[0] - this.line(cell)) < NEAR
      if (event.button == 1) this.gesture = { kind: 'pan', from: place }
      else if (this.brushing) { if (!this.locked) { this.gesture = { kind: 'stroke', cell }; this.stroke = { points: [this.toPhoto(place, cell)], action: this.tool, pointer: true } } }
      else if (this.acts) this.gesture = { kind: 'click', from: place, cell, other: event.button == 2 || event.altKey }
      else if (this.step > 1 && this.mode == 'curtain' && (this.zoom < 1.01 || near)) { this.gesture = { kind: 'curtain', cell }; this.slide(place, cell) }
      else this.gesture = { kind: 'pan', from: place }
    }
    this.draw()
  }
  move(event) {
    const place = this.at(event), before = this.pointers.get(event.pointerId), gesture = this.gesture
    this.hover = place
    if (!before) { if (this.brushing) this.draw(true); return }
    if (gesture?.kind == 'pinch' && this.pointers.size == 2) {
      const [other] = [...this.pointers].filter(([id]) => id != event.pointerId).map(([, at]) => at), ratio = close(place, other)/Math.max(1, close(before, other)), center = [(place[0] + other[0])/2, (place[1] + other[1])/2]
      this.zoomTo(this.zoom*ratio, center)
      this.pan((place[0] - before[0])/2, (place[1] - before[1])/2)
    }
    else if (gesture?.kind == 'stroke' && this.stroke) { for (const each of event.getCoalescedEvents?.() || [event]) this.stroke.points.push(this.toPhoto(this.at(each), gesture.cell)); this.draw(true) }
    else if (gesture?.kind == 'curtain') this.slide(place, gesture.cell)
    else if (gesture?.kind == 'click' && close(place, gesture.from) > STILL) this.gesture = { kind: 'pan' }
    else if (gesture?.kind == 'pan') this.pan(place[0] - before[0], place[1] - before[1])
    this.pointers.set(event.pointerId, place)
  }
  up(event) {
    const place = this.at(event), gesture = this.gesture
    this.pointers.delete(event.pointerId)
    if (this.pointers.size) return
    this.gesture = null
    if (gesture?.kind == 'click') this.press(this.toPhoto(place, gesture.cell), gesture.other)
    if (gesture?.kind == 'stroke' && this.stroke) this.finish()
    this.draw()
  }
  cancel(event) { this.pointers.delete(event.pointerId); if (!this.pointers.size) { this.gesture = null; this.stroke = null; this.draw() } }
  finish() { const { points, action } = this.stroke; this.stroke.pointer = false; this.ask('stroke', { points: thin(points), width: this.brush/100, action }).then(() => { this.stroke = this.stroke?.pointer ? this.stroke : null; this.draw() }) }
  get pointing() { return this.tool == 'point' || this.tool == 'avoid' }
  press(place, other = false) { // a click at a place of the photo; with the other button it means the other
    if (!this.inside(place) || this.locked) return
    const [x, y] = place
    if (this.tool == 'white') return this.act('light', { light: 'room', was: [], white: place, bounce: this.state.bounce }).then(() => { this.tool = 'point'; this.fill(); this.draw(); this.need() })
    if (this.tool == 'outline') return this.act('corner', { x, y })
    const wall = (this.tool == 'point') != other
    this.guessing = [...(this.guessing || []), [x, y, wall]]
    this.draw()
    this.act('point', { x, y, wall }).then(() => { this.guessing = this.guessing.slice(1); this.draw() })
  }
  wheel(event) {
    if (!this.state.photo || !event.ctrlKey && !this.model.get('page')) return // in a notebook the wheel scrolls
    event.preventDefault()
    this.zoomTo(this.zoom*Math.exp(-event.deltaY*(event.deltaMode ? 16 : 1)*.002), this.at(event))
  }
  line(cell) { const [left] = this.toStage([0, 0], cell), [right] = this.toStage([this.state.photo.width, 0], cell), low = Math.max(left, cell.x), high = Math.min(right, cell.x + cell.w); return low + this.split*(high - low) }
  slide([x], cell) { const [left] = this.toStage([0, 0], cell), [right] = this.toStage([this.state.photo.width, 0], cell), low = Math.max(left, cell.x), high = Math.min(right, cell.x + cell.w); this.split = clamp((x - low)/(high - low), 0, 1); this.draw(true) }
  hotkey(event) {
    if ((event.ctrlKey || event.metaKey) && event.key == 'z' && !(event.target.type == 'text')) { event.preventDefault(); if (!this.locked && this.state.undo) this.act('undo') }
    if (!this.model.get('page')) event.stopPropagation() // JupyterLab's own shortcuts
  }
  key(event) {
    if (!this.state.photo || event.ctrlKey || event.metaKey || event.altKey) return
    const arrows = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key], cell = this.cells()[0]
    let used = true
    if (event.key == '+' || event.key == '=') this.zoomTo(this.zoom*1.5)
    else if (event.key == '-') this.zoomTo(this.zoom/1.5)
    else if (event.key == '0') this.zoomTo(1)
    else if (event.key == '1') this.zoomTo(this.full())
    else if (arrows && this.acts) {
      const step = (event.shiftKey ? 60 : 12)/this.scale(cell), from = this.cursor || this.toPhoto([cell.x + cell.w/2, cell.y + cell.h/2], cell), { width, height } = this.state.photo
      this.cursor = [clamp(from[0] + arrows[0]*step, 0, width - 1), clamp(from[1] + arrows[1]*step, 0, height - 1)]
      if (this.stroke?.keys) this.stroke.points.push(this.cursor)
      const [x, y] = this.toStage(this.cursor, cell)
      if (x < 20 || y < 20 || x > cell.w - 20 || y > cell.h - 20) this.pan(-arrows[0]*40, -arrows[1]*40)
    }
    else if (arrows && this.step > 1 && this.mode == 'curtain' && !event.shiftKey && arrows[0]) this.split = clamp(this.split + .02*arrows[0], 0, 1)
    else if (arrows) this.pan(-60*arrows[0], -60*arrows[1])
    else if ((event.key == 'Enter' || event.key == ' ') && this.acts) {
      this.cursor ||= this.toPhoto([cell.x + cell.w/2, cell.y + cell.h/2], cell)
      if (!this.brushing) this.press(this.cursor)
      else if (this.stroke?.keys) this.finish()
      else this.stroke = { points: [this.cursor], action: this.tool, keys: true }
    }
    else if (event.key == 'Escape') this.stroke = this.cursor = null
    else used = false
    if (used) { event.preventDefault(); this.draw() }
  }

  // ---- drawing
  draw(moving = false) {
    if (this.frame) return
    this.frame = requestAnimationFrame(() => { this.frame = null; this.paint(); if (!moving) this.closer() })
  }
  paint() {
    const { canvas, context: c, state } = this, w = this.stage.clientWidth, tall = this.stage.clientHeight, dpr = this.dpr()
    if (canvas.width != Math.round(w*dpr) || canvas.height != Math.round(tall*dpr)) { canvas.width = Math.round(w*dpr); canvas.height = Math.round(tall*dpr) }
    c.setTransform(dpr, 0, 0, dpr, 0, 0)
    c.clearRect(0, 0, w, tall)
    if (!state.photo || !w) return
    for (const cell of this.cells()) this.paintCell(c, cell)
    this.percent.textContent = `${Math.round(100*this.scale()*dpr)}%`
    const [left, top] = this.origin(this.cells()[0])
    canvas.dataset.photo = [left, top, state.photo.width*this.scale(), state.photo.height*this.scale()].map(Math.round).join(' ') // where on the canvas: for tests
    canvas.dataset.places = state.places.map(([x, y]) => `${Math.round(x)},${Math.round(y)}`).join(' ')
    canvas.dataset.drawn = this.drawn = (this.drawn || 0) + 1
    canvas.dataset.seen = this.step > 1 ? this.visible().filter(paint => this.pictures['paint' + paint.key]?.bitmap).map(paint => paint.color).join(' ') : this.pictures['wall' + state.wall]?.tint ? `wall ${state.wall}` : state.wall || !this.pictures['photo' + state.photo.id]?.bitmap ? '' : 'photo'
  }
  paintCell(c, cell) {
    const { state } = this, { width, height } = state.photo, [ox, oy] = this.origin(cell), s = this.scale(cell)
    const show = (what, detail) => {
      const picture = this.pictures[what]?.bitmap
      if (!picture) return false
      c.imageSmoothingQuality = 'high'
      c.drawImage(picture, ox, oy, width*s, height*s)
      const more = this.details[detail]
      if (more && s*this.dpr() > 1.02*state.photo.shown/width) { c.imageSmoothingEnabled = s*this.dpr() < 2; c.drawImage(more.bitmap, ox + more.box[0]*s, oy + more.box[1]*s, (more.box[2] - more.box[0])*s, (more.box[3] - more.box[1])*s); c.imageSmoothingEnabled = true }
      return true
    }
    c.save()
    c.beginPath(); c.rect(cell.x, cell.y, cell.w, cell.h); c.clip()
    const seen = this.step > 1 && this.tool != 'white', chosen = cell.label ? cell.what : state.paints.find(paint => paint.color == this.shown)
    show('photo' + state.photo.id, 'photo')
    if (seen && chosen && state.wall) {
      const at = cell.label ? -1e5 : this.line(cell)
      c.save()
      if (!cell.label) { c.beginPath(); c.rect(at, cell.y, 1e5, cell.h); c.clip() }
      const there = show('paint' + chosen.key, chosen.key)
      c.restore()
      if (!there) this.note(c, cell, 'painting …')
      else if (!cell.label) this.paintLine(c, at, cell, oy, height*s, chosen)
    }
    if (this.step == 1) this.paintWall(c, cell, s, ox, oy)
    if (this.step == 2 && state.white) this.dot(c, this.toStage(state.white, cell), '#ffffff', 7, '○')
    if (this.cursor && this.acts && document.activeElement == this.canvas) this.cross(c, this.toStage(this.cursor, cell))
    c.restore()
    if (cell.label) this.label(c, cell, ox, oy + height*s)
  }
  paintWall(c, cell, s, ox, oy) {
    const { state } = this, { width, height } = state.photo, tint = this.pictures['wall' + state.wall]?.tint || (state.wall && this.lastTint)
    if (tint && state.wall) { c.drawImage(tint, ox, oy, width*s, height*s); this.lastTint = tint }
    const corners = state.corners.map(place => this.toStage(place, cell))
    if (corners.length) for (const [color, wide] of [['#fff', 5], ['#d9442b', 2.5]]) { c.beginPath(); corners.forEach(([x, y]) => c.lineTo(x, y)); if (corners.length > 2 && color == '#fff') c.closePath(); c.strokeStyle = color; c.lineWidth = wide; c.lineJoin = 'round'; c.stroke() }
    for (const at of corners) this.dot(c, at, '#d9442b', 5, '')
    for (const [x, y, wall] of [...state.places, ...(this.guessing || [])]) this.dot(c, this.toStage([x, y], cell), wall ? '#0a7d4f' : '#c2311f', 8, wall ? '+' : '−')
    const size = this.brush/100*Math.max(width, height)*s
    if (this.stroke) {
      c.save(); c.globalAlpha = .6; c.beginPath()
      const points = this.stroke.points.map(place => this.toStage(place, cell))
      points.forEach(([x, y]) => c.lineTo(x, y)); if (points.length == 1) c.lineTo(points[0][0] + .1, points[0][1])
      c.lineWidth = size; c.lineCap = c.lineJoin = 'round'; c.strokeStyle = this.stroke.action == 'add' ? '#00a8e8' : '#ff7a5c'; c.stroke(); c.restore()
    }
    const place = this.cursor ? this.toStage(this.cursor, cell) : this.hover
    if (this.brushing && place) { c.beginPath(); c.arc(...place, size/2, 0, 7); c.lineWidth = 3; c.strokeStyle = '#0009'; c.stroke(); c.lineWidth = 1.5; c.strokeStyle = '#fff'; c.stroke() }
  }
  paintLine(c, at, cell, top, tall, chosen) {
    const high = Math.max(top, cell.y), low = Math.min(top + tall, cell.y + cell.h), y = (high + low)/2
    c.shadowColor = '#0008'; c.shadowBlur = 6; c.fillStyle = '#fff'; c.fillRect(at - 1.5, high, 3, low - high)
    c.beginPath(); c.arc(at, y, 20, 0, 7); c.fill(); c.shadowBlur = 0
    c.fillStyle = '#222'; c.beginPath(); for (const side of [-1, 1]) { c.moveTo(at + side*13, y); c.lineTo(at + side*6, y - 6); c.lineTo(at + side*6, y + 6) } c.fill()
    const [left] = this.toStage([0, 0], cell), [right] = this.toStage([this.state.photo.width, 0], cell)
    this.tag(c, 'before', Math.max(left, cell.x) + 8, low - 12, false, at - 10); this.tag(c, chosen.name, Math.min(right, cell.x + cell.w) - 8, high + (high < 60 ? 64 : 12) + 18, true, at + 10)
  }
  tag(c, text, x, y, toRight, limit) { // words on the photo, unless the line is in their way
    c.font = '600 13px system-ui, sans-serif'
    const wide = c.measureText(text).width + 16, left = toRight ? x - wide : x
    if (toRight ? left < limit : left + wide > limit) return
    c.fillStyle = '#000a'; c.beginPath(); c.roundRect(left, y - 18, wide, 26, 7); c.fill(); c.fillStyle = '#fff'; c.textBaseline = 'middle'; c.fillText(text, left + 8, y - 5)
  }
  label(c, cell, x, y) {
    const text = cell.what ? cell.what.name : 'before', style = getComputedStyle(this.root), left = Math.max(x, cell.x), foot = Math.min(y, cell.y + cell.h) + 6
    c.font = '600 13px system-ui, sans-serif'; c.textBaseline = 'middle'
    if (cell.what) { c.fillStyle = cell.what.color; c.strokeStyle = '#0004'; c.lineWidth = 1; c.beginPath(); c.roundRect(left, foot, 20, 20, 5); c.fill(); c.stroke() }
    c.fillStyle = style.getPropertyValue('--text')
    let words = text
    while (words.length > 2 && c.measureText(words).width > cell.w - 32) words = words.slice(0, -2) + '…'
    c.fillText(words, left + (cell.what ? 28 : 0), foot + 11)
  }
  note(c, cell, text) { c.font = '600 15px system-ui, sans-serif'; const wide = c.measureText(text).width + 28, x = cell.x + cell.w/2, y = cell.y + cell.h/2; c.fillStyle = '#000b'; c.beginPath(); c.roundRect(x - wide/2, y - 18, wide, 36, 18); c.fill(); c.fillStyle = '#fff'; c.textAlign = 'center'; c.textBaseline = 'middle'; c.fillText(text, x, y); c.textAlign = 'start' }
  dot(c, [x, y], color, size, sign) { c.beginPath(); c.arc(x, y, size, 0, 7); c.fillStyle = color; c.fill(); c.lineWidth = 2; c.strokeStyle = color == '#ffffff' ? '#222' : '#fff'; c.stroke(); if (!sign || sign == '○') return; c.fillStyle = '#fff'; c.font = '700 14px system-ui'; c.textAlign = 'center'; c.textBaseline = 'middle'; c.fillText(sign, x, y + 1); c.textAlign = 'start' }
  cross(c, [x, y]) { for (const [color, wide] of [['#000', 4], ['#fff', 2]]) { c.strokeStyle = color; c.lineWidth = wide; c.beginPath(); c.moveTo(x - 16, y); c.lineTo(x + 16, y); c.moveTo(x, y - 16); c.lineTo(x, y + 16); c.stroke() } }
}

function tinted(bitmap) { // the wall in blue, its border in full colour
  const { width, height } = bitmap, sheet = new OffscreenCanvas(width, height), c = sheet.getContext('2d')
  c.drawImage(bitmap, 0, 0)
  const data = c.getImageData(0, 0, width, height), px = data.data, wall = new Uint8Array(width*height), reach = Math.max(1, Math.round(Math.max(width, height)/900))
  for (let i = 0; i < wall.length; i++) wall[i] = px[4*i] >= 128
  for (let y = 0, i = 0; y < height; y++) for (let x = 0; x < width; x++, i++) {
    const edge = wall[i] && (x >= reach && !wall[i - reach] || x < width - reach && !wall[i + reach] || y >= reach && !wall[i - reach*width] || y < height - reach && !wall[i + reach*width])
    px[4*i] = 0; px[4*i + 1] = edge ? 120 : 150; px[4*i + 2] = edge ? 220 : 235; px[4*i + 3] = wall[i] ? (edge ? 255 : 105) : 0
  }
  c.putImageData(data, 0, 0)
  return sheet
}
function thin(points) { // at most 400 points of a stroke
  const every = Math.ceil(points.length/400)
  return points.filter((_, i) => i%every == 0 || i == points.length - 1)
}

export default { render({ model, el }) { const studio = new Studio(model, el); return () => studio.close() } }
