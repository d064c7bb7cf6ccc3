import { render } from 'preact';
import { App } from './app.js';
import { startEnded } from './data/ended.js';
import { startAging } from './data/fleet.js';
import { startMissing } from './data/missing.js';
import { startStream } from './data/stream.js';
import { startAttention } from './views/attention.js';

const root = document.getElementById('app');
if (!root) throw new Error('the page has no #app');
render(<App />, root);
startStream();
startEnded();
startMissing();
startAttention();
startAging();
