/** Whether rows hold still: while a mouse is over them, or from one press of Space to the next. */
import { signal } from '@preact/signals';

export const isOver = signal(false);
export const isPinned = signal(false);

/** For what a mouse rests on; a finger does not stay over rows. */
export const holdsWhileOver = {
  onPointerEnter: (event: PointerEvent) => {
    isOver.value = event.pointerType === 'mouse';
  },
  onPointerLeave: () => {
    isOver.value = false;
  },
};

export const holdsStill = (): boolean => isOver.value || isPinned.value;
