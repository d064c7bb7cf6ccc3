import { render } from 'preact';
import { App } from './app.js';
import { startAttention } from './data/attention.js';
import { startEnded } from './data/ended.js';
import { startAging } from './data/fleet.js';
import { startMissing } from './data/missing.js';
import { startSilences } from './data/silences.js';
import { startStream } from './data/stream.js';

const root = document.getElementById('app');
if (!root) throw new Error('the page has no #app');
render(<App />, root);
startStream();
startEnded();
startMissing();
startSilences();
startAttention();
startAging();
