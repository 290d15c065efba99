//go:build cgo || gms_pure_go

package embedded

import (
	"embed"
	"encoding/csv"
	"fmt"
	"strconv"

	"github.com/dolthub/go-mysql-server/memory"
	"github.com/dolthub/go-mysql-server/sql"
	"github.com/dolthub/go-mysql-server/sql/types"
)

// The iris tutorial as SQLFlow's MySQL image has it: 110 rows to train on, 10 to test.
//
//go:embed data/iris_train.csv data/iris_test.csv
var data embed.FS

const (
	irisDatabase   = "iris"
	modelsDatabase = "sqlflow_models" // where SQLFlow keeps trained models
)

// table is a table of the tutorial, parsed once for all databases. Nobody changes
// its rows: the engine replaces rows, it does not write into them.
type table struct {
	name    string
	columns []string
	rows    []sql.Row
}

// iris parses the embedded files. They are part of the program, so that it panics
// if they are wrong; a test reads them.
func iris() []table {
	train, err := parseTable("train", "data/iris_train.csv")
	if err != nil {
		panic(err)
	}
	test, err := parseTable("test", "data/iris_test.csv")
	if err != nil {
		panic(err)
	}
	return []table{train, test}
}

func parseTable(name, file string) (table, error) {
	f, err := data.Open(file)
	if err != nil {
		return table{}, err
	}
	defer f.Close()
	lines, err := csv.NewReader(f).ReadAll()
	if err != nil {
		return table{}, fmt.Errorf("%s: %w", file, err)
	}
	t := table{name: name, columns: lines[0]}
	for _, line := range lines[1:] {
		row := make(sql.Row, len(line))
		for i, field := range line {
			if t.columns[i] == "class" {
				class, err := strconv.ParseInt(field, 10, 32)
				if err != nil {
					return table{}, fmt.Errorf("%s: %w", file, err)
				}
				row[i] = int32(class)
				continue
			}
			number, err := strconv.ParseFloat(field, 32)
			if err != nil {
				return table{}, fmt.Errorf("%s: %w", file, err)
			}
			row[i] = float32(number)
		}
		t.rows = append(t.rows, row)
	}
	return t, nil
}

// fill makes the table in db.
func (t table) fill(ctx *sql.Context, db *memory.Database) error {
	var schema sql.Schema
	for _, name := range t.columns {
		c := &sql.Column{Name: name, Source: t.name, DatabaseSource: db.Name(), Nullable: true, Type: types.Float32}
		if name == "class" {
			c.Type = types.Int32
		}
		schema = append(schema, c)
	}
	made := memory.NewTable(db, t.name, sql.NewPrimaryKeySchema(schema), db.GetForeignKeyCollection())
	db.AddTable(t.name, made)
	in := made.Inserter(ctx)
	for _, row := range t.rows {
		if err := in.Insert(ctx, row); err != nil {
			return fmt.Errorf("filling %s.%s: %w", db.Name(), t.name, err)
		}
	}
	return in.Close(ctx)
}
