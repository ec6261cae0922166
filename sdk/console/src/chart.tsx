// A line over the last minutes, ten at most. The value under the pointer is said below it.

import type { JSX, TargetedPointerEvent } from 'preact';
import { useState } from 'preact/hooks';

const [WIDTH, HEIGHT] = [300, 56];
/** A gateway that has just begun fills a minute, not a corner of ten. */
const SPANS = [60, 120, 300, 600];

export function Chart({ name, values, times, format }: { name: string; values: number[]; times: number[]; format: (value: number) => string }): JSX.Element {
  const [at, setAt] = useState<number>();
  const top = Math.max(1, ...values);
  // The newest is at the right edge, also while there are few.
  const seconds = SPANS.find((span) => span >= values.length) ?? 600;
  const span = seconds === 60 ? 'last minute' : `last ${seconds / 60} minutes`;
  const x = (i: number): number => WIDTH - ((values.length - 1 - i) * WIDTH) / (seconds - 1);
  const y = (value: number): number => HEIGHT - 2 - (value / top) * (HEIGHT - 6);
  const points = values.map((value, i) => `${x(i).toFixed(1)},${y(value).toFixed(1)}`);
  const shown = at === undefined ? undefined : Math.min(at, values.length - 1);
  const move = (event: TargetedPointerEvent<SVGSVGElement>): void => {
    const { left, width } = event.currentTarget.getBoundingClientRect();
    const from = values.length - 1 - Math.round(((left + width - event.clientX) / width) * (seconds - 1));
    setAt(from >= 0 ? from : undefined);
  };
  const moment = shown === undefined ? span : new Date(times.at(shown - values.length)!).toISOString().slice(11, 19);
  return (
    <div class="chart">
      <svg viewBox={`0 0 ${WIDTH} ${HEIGHT}`} preserveAspectRatio="none" role="img" aria-label={`${name}: now ${format(values.at(-1) ?? 0)}, at most ${format(Math.max(0, ...values))} in the ${span}`} onPointerMove={move} onPointerLeave={() => setAt(undefined)}>
        {values.length > 1 && <path class="area" d={`M${x(0)},${HEIGHT} L${points.join(' L')} L${WIDTH},${HEIGHT} Z`} />}
        {values.length > 1 && <polyline points={points.join(' ')} />}
        {shown !== undefined && <line x1={x(shown)} x2={x(shown)} y1="0" y2={HEIGHT} />}
      </svg>
      <p class="dim">{moment}<span class="space" />{shown === undefined ? `max ${format(Math.max(0, ...values))}` : format(values[shown]!)}</p>
    </div>
  );
}
