// Package logfile is the inside of flow-log files: gzipped text with a header line, or Parquet, and the way back from either, or from plain
// text, to rows. It knows neither names nor places of files, and never begins a record that it does not end.
package logfile
