package program

import (
	"strconv"
	"strings"
)

// The tables of this file are only read.

// keywords maps a word in upper case to itself, so that a lookup by bytes
// gives a string without making one.
var keywords = func() map[string]string {
	m := make(map[string]string)
	add := func(words string) {
		for w := range strings.FieldsSeq(words) {
			m[w] = w
		}
	}
	for w := range verbs {
		add(w)
	}
	for w := range extendedVerbs {
		add(w)
	}
	for w := range reserved {
		add(w)
	}
	for w := range intervalUnits {
		add(w)
	}
	add("AS ALL DISTINCT UNION EXCEPT INTERSECT MINUS JOIN HAVING ORDER DELIMITER END")
	return m
}()

// keyword gives a word in upper case when it is a keyword that this package
// cares about, and "" otherwise.
func keyword(word string) string {
	var b [16]byte
	if len(word) > len(b) {
		return ""
	}
	for i := range len(word) {
		c := word[i]
		if 'a' <= c && c <= 'z' {
			c -= 'a' - 'A'
		}
		b[i] = c
	}
	return keywords[string(b[:len(word)])]
}

func set(words string) map[string]bool {
	m := make(map[string]bool)
	for w := range strings.FieldsSeq(words) {
		m[w] = true
	}
	return m
}

// verbs are the words that begin a statement of MySQL, MariaDB, TiDB, Hive,
// MaxCompute or PostgreSQL.
var verbs = set(`
	SELECT WITH VALUES TABLE FROM MAP REDUCE
	INSERT REPLACE UPDATE DELETE MERGE UPSERT LOAD UNLOAD COPY IMPORT EXPORT HANDLER
	CREATE DROP ALTER TRUNCATE RENAME COMMENT ADD REMOVE MSCK RECOVER UNDROP RESTORE BACKUP FLASHBACK
	GRANT REVOKE DENY REASSIGN
	SHOW DESCRIBE DESC EXPLAIN HELP LIST WHOAMI READ COUNT
	ANALYZE OPTIMIZE CHECK CHECKSUM REPAIR VACUUM REINDEX CLUSTER COMPACT CACHE UNCACHE REFRESH RELOAD
	USE SET UNSET RESET DECLARE PRAGMA ATTACH DETACH
	BEGIN START COMMIT ROLLBACK ABORT SAVEPOINT RELEASE XA LOCK UNLOCK
	CALL DO EXEC EXECUTE PREPARE DEALLOCATE SIGNAL RESIGNAL GET
	KILL FLUSH PURGE CHANGE STOP SHUTDOWN RESTART CLONE INSTALL UNINSTALL BINLOG
	ADMIN TRACE BATCH SPLIT PLAN QUERY TUNNEL JAR DFS LISTEN NOTIFY UNLISTEN FETCH MOVE CLOSE CLEAR`)

// statementVerbs are those that may follow WITH x AS (...).
var statementVerbs = set("SELECT VALUES TABLE FROM INSERT REPLACE UPDATE DELETE MERGE")

// queryVerbs begin what SQLFlow's statements may follow. FROM begins a
// query of Hive, WITH is one until another verb is seen.
var queryVerbs = set("SELECT WITH FROM")

// standardTo are the verbs of statements in which TO is standard SQL.
var standardTo = set("ALTER RENAME GRANT CHANGE SET COPY UNLOAD EXPORT BACKUP RESTORE ROLLBACK PURGE REASSIGN FLASHBACK RECOVER COMMENT")

// opensClause are the keywords that something must follow.
var opensClause = set("SELECT FROM WHERE BY HAVING AND OR JOIN LIMIT UNION")

// intervalUnits stand around the TO of INTERVAL '1-2' YEAR TO MONTH.
var intervalUnits = set("YEAR MONTH DAY HOUR MINUTE SECOND")

// extendedVerbs follow TO.
var extendedVerbs = map[string]Kind{
	"TRAIN": Train, "PREDICT": Predict, "EXPLAIN": Explain, "EVALUATE": Evaluate,
	"RUN": Run, "MAXIMIZE": Optimize, "MINIMIZE": Optimize,
}

// reserved are the words that SQLFlow's lexer takes for no name.
var reserved = set(`SELECT FROM WHERE LIMIT TRAIN PREDICT EXPLAIN EVALUATE RUN MAXIMIZE MINIMIZE USING WITH CMD
	COLUMN FOR LABEL INTO CONSTRAINT AND OR NOT AS TO SHOW GROUP BY`)

// nearest gives the word that was probably meant: the one of the list that is
// at most two typing errors away, but not more than a third of its letters.
func nearest[V any](word string, list map[string]V) string {
	if len(word) > 16 {
		return ""
	}
	word = strings.ToUpper(word)
	best, distance := "", 3
	for candidate := range list {
		d := editDistance(word, candidate)
		if d*3 <= len(candidate) && (d < distance || d == distance && candidate < best) {
			best, distance = candidate, d
		}
	}
	return best
}

// editDistance counts the letters to insert, delete, replace or swap with a
// neighbour on the way from a to b.
func editDistance(a, b string) int {
	var older, old []int
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := 1; i <= len(a); i++ {
		older, old, row = old, row, make([]int, len(b)+1)
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			row[j] = min(old[j]+1, row[j-1]+1, old[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], older[j-2]+1)
			}
		}
	}
	return row[len(b)]
}

// column is the column of an offset, for a message.
func (p *parser) column(offset int) string {
	c := p.where
	_, column := c.locate(offset)
	return strconv.Itoa(column)
}
