import { signal } from '@preact/signals';

export const themes = ['auto', 'light', 'dark'] as const;
export type Theme = (typeof themes)[number];

const key = 'hivepulse-theme';

/** Storage may be forbidden (private windows, policies): then the choice lasts as long as the tab. */
function stored(): Theme {
  try {
    const value = localStorage.getItem(key);
    return themes.find((theme) => theme === value) ?? 'auto';
  } catch {
    return 'auto';
  }
}

export const theme = signal<Theme>(stored());

/** `light` or `dark`, as it is drawn now. */
export const drawnTheme = signal<'light' | 'dark'>('light');

const dark = window.matchMedia('(prefers-color-scheme: dark)');

function draw(): void {
  const chosen = theme.value === 'auto' ? (dark.matches ? 'dark' : 'light') : theme.value;
  document.documentElement.dataset.theme = chosen;
  drawnTheme.value = chosen;
}

export function setTheme(next: Theme): void {
  theme.value = next;
  try {
    localStorage.setItem(key, next);
  } catch {
    // see stored()
  }
  draw();
}

export const nextTheme = () => setTheme(themes[(themes.indexOf(theme.value) + 1) % themes.length]!);

dark.addEventListener('change', draw);
draw();
