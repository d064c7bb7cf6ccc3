import type { RefObject } from 'preact';
import { useMemo, useState } from 'preact/hooks';
import { gpuHealthStyles, livenessStyles } from '../../present/status.js';
import { hives } from '../data/fleet.js';
import type { HiveGroup } from '../data/fleet-rows.js';
import {
  type HeatBlock,
  type HeatLine,
  heatBlocks,
  heatLegend,
  heatLines,
  heats,
  isHeat,
  moveHeat,
  type Place,
} from '../data/heat.js';
import { at, go, show } from '../data/location.js';
import { holdsWhileOver } from '../data/still.js';
import { cellWidth } from '../parts/heat-paint.js';
import { Sign } from '../parts/meter.js';
import { offsetsOf, Virtual } from '../parts/virtual.js';
import { cellId, HeatHosts, hostGap, lineHeight } from './heat-hosts.js';

const maxCells = 8;
const leastHostWidth = 116;
const headingHeight = 32;

/** What colours the cells, `state` too. */
export function HeatChoice() {
  const value = at.color.value;
  const options = [...Object.entries(heats).map(([name, { label }]) => [name, label]), ['state', 'State']];
  return (
    <label class="pick">
      <span class="sr-only">Colour</span>
      <select value={value} onChange={(event) => go({ color: event.currentTarget.value })}>
        {options.map(([name, label]) => (
          <option key={name} value={name}>
            {`Colour: ${label}`}
          </option>
        ))}
      </select>
    </label>
  );
}

function Legend({ color }: { readonly color: string }) {
  return (
    <p class="heat-legend legend">
      {isHeat(color)
        ? heatLegend(color).map((text, index) => (
            <span key={text}>
              <i class={`heat-sample heat-${index + 1}`} aria-hidden="true" /> {text}
            </span>
          ))
        : Object.values({ ...gpuHealthStyles, offline: livenessStyles.offline }).map(({ word, symbol, tone }) => (
            <Sign key={word} symbol={symbol} tone={tone}>
              {word}
            </Sign>
          ))}
      {isHeat(color) && (
        <span>
          <i class="heat-sample hatched" aria-hidden="true" /> not known
        </span>
      )}
    </p>
  );
}

interface HeatMapProps {
  readonly groups: readonly HiveGroup[];
  readonly width: number;
  readonly scroller: RefObject<HTMLElement>;
}

const gpusOf = (id: string) => (hives.get(id)?.view.gpus ?? []).length;
const isArrow = (key: string): key is Parameters<typeof moveHeat>[3] => /^Arrow(Left|Right|Up|Down)$/.test(key);

const heightOf = (line: HeatLine) => (line.heading === null ? lineHeight(line) : headingHeight);

/** Where a line of a block is in it, px. */
function partOf({ first, lines }: HeatBlock, line: number): readonly [number, number] {
  const top = lines.slice(0, line - first).reduce((sum, each) => sum + heightOf(each), 0);
  return [top, top + heightOf(lines[line - first]!)];
}

/** One cell for each GPU: a number or a symbol, and a colour that says the same. */
export function HeatMap({ groups, width, scroller }: HeatMapProps) {
  const [place, setPlace] = useState<Place | null>(null);
  const color = at.color.value;
  const most = groups.reduce((top, { views }) => Math.max(top, ...views.map(({ gpus }) => gpus.length)), 1);
  const cells = Math.min(maxCells, most, Math.max(1, Math.floor(width / cellWidth)));
  const hostWidth = Math.max(leastHostWidth, cells * cellWidth);
  const perLine = Math.max(1, Math.floor((width + hostGap) / (hostWidth + hostGap)));
  const lines = useMemo(() => {
    const hosts = groups.map(({ name, text, views }) => ({
      name,
      text,
      hosts: views.map(({ id, gpus }) => ({ id, gpus: gpus.length })),
    }));
    return heatLines(hosts, perLine, cells);
  }, [groups, perLine, cells]);
  const blocks = useMemo(() => heatBlocks(lines), [lines]);
  const reveal = place === null ? -1 : blocks.findLastIndex(({ first }) => first <= place.line);
  const onKeyDown = (event: KeyboardEvent) => {
    if (event.key === 'Enter' && place !== null) {
      const id = lines[place.line]?.hosts[place.host];
      const gpu = id === undefined ? undefined : hives.get(id)?.view.gpus[place.gpu];
      if (gpu) show(`gpu:${id}/${gpu.uuid}`);
    } else if (isArrow(event.key)) {
      event.preventDefault();
      const from = place ?? { line: 0, host: -1, gpu: 0 };
      setPlace(moveHeat(lines, gpusOf, from, place === null ? 'ArrowRight' : event.key));
    }
  };
  return (
    <>
      <Legend color={color} />
      <div
        class="heat-map"
        role="grid"
        aria-label="GPUs by host"
        tabIndex={0}
        aria-activedescendant={place === null ? undefined : cellId(place)}
        style={{ '--host-width': `${hostWidth}px` }}
        onKeyDown={onKeyDown}
        {...holdsWhileOver}
      >
        <Virtual
          offsets={offsetsOf(blocks.map(({ lines: its }) => its.reduce((sum, line) => sum + heightOf(line), 0)))}
          scroller={scroller}
          reveal={reveal}
          part={place === null ? undefined : partOf(blocks[reveal]!, place.line)}
          row={(index, style, slot) => {
            const block = blocks[index]!;
            const { heading } = block.lines[0]!;
            if (heading !== null)
              return (
                <div key={slot} class="group-heading" role="row" style={style}>
                  <div role="gridcell">
                    <strong>{heading.name}</strong> <small>{heading.text}</small>
                  </div>
                </div>
              );
            return (
              <HeatHosts
                key={slot}
                block={block}
                color={color}
                cells={cells}
                hostWidth={hostWidth}
                marked={index === reveal ? place : null}
                style={style}
              />
            );
          }}
        />
      </div>
    </>
  );
}
