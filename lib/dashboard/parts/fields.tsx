interface TextFieldProps {
  readonly label: string;
  readonly maxLength: number;
  readonly required?: boolean;
  readonly value: string;
  readonly set: (value: string) => void;
}

export const TextField = ({ label, maxLength, required = true, value, set }: TextFieldProps) => (
  <label>
    <span>{label}</span>
    <input
      type="text"
      required={required}
      maxLength={maxLength}
      value={value}
      onInput={(e) => set(e.currentTarget.value)}
    />
  </label>
);

interface ChoiceFieldProps<Value extends string> {
  readonly label: string;
  readonly choices: readonly (readonly [value: Value, label: string])[];
  readonly value: Value;
  readonly set: (value: Value) => void;
}

export const ChoiceField = <Value extends string>({ label, choices, value, set }: ChoiceFieldProps<Value>) => (
  <label>
    <span>{label}</span>
    <select value={value} onChange={(e) => set(e.currentTarget.value as Value)}>
      {choices.map(([each, text]) => (
        <option key={each} value={each}>
          {text}
        </option>
      ))}
    </select>
  </label>
);
