export function Logo({ size }: { readonly size: number }) {
  return (
    <svg class="logo" width={size} height={size} viewBox="0 0 32 32" aria-hidden="true">
      <path d="M16 1.8 28.3 8.9v14.2L16 30.2 3.7 23.1V8.9z" fill="#f2a900" />
      <path
        d="M6.5 16.6h5l2.6-7 4.1 13.2 2.8-6.2h4.5"
        fill="none"
        stroke="#14181f"
        stroke-width="2.4"
        stroke-linecap="round"
        stroke-linejoin="round"
      />
    </svg>
  );
}
