package images

import (
	"bytes"
	"context"
	"crypto/sha256"
	"embed"
	"encoding/csv"
	"encoding/hex"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// The images of a playground, by the names that SQLFlow gives them.
const (
	MySQLName = "sqlflow/sqlflow:mysql"
	StepName  = "sqlflow/sqlflow:step"
	PauseName = "sqlflow/pause:1"
)

const path = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

//go:embed mysql iris
var files embed.FS

// A Builder makes images and keeps them as tars in Cache, under names that
// change with everything that decides what is in them.
type Builder struct {
	Cache string
	Logf  func(format string, args ...any)
}

// MySQL gives the tar of the database image: Debian's MariaDB with root/root
// for localhost and everybody else, the tables iris.train and iris.test, and
// an empty sqlflow_models. It honours MYSQL_HOST and MYSQL_PORT, and a volume
// at /var/lib/mysql is filled when empty and used when not. Making the image
// takes a minute or two and root.
func (b Builder) MySQL(ctx context.Context) (tar string, err error) {
	statements, err := initialStatements()
	if err != nil {
		return "", fmt.Errorf("image %s: %w", MySQLName, err)
	}
	base, err := b.base(ctx, mysqlSystem(statements), "mysql", statements+read("mysql/server.cnf"))
	if err != nil {
		return "", fmt.Errorf("image %s: %w", MySQLName, err)
	}
	writable := fs.ModeDir | fs.ModeSticky | 0o777
	return b.save("mysql", Image{
		Name: MySQLName,
		Layers: []Layer{{Tar: base}, {Files: []File{
			{Path: "/usr/local/bin/entrypoint", Mode: 0o755, Content: []byte(read("mysql/entrypoint.sh"))},
			{Path: "/work", Mode: writable},
			{Path: "/run", Mode: fs.ModeDir | 0o755},
			{Path: "/run/mysqld", Mode: writable},
			{Path: "/var/lib/mysql", Mode: writable},
		}}},
		Entrypoint: []string{"entrypoint"},
		Env:        []string{path},
		WorkDir:    "/work",
	})
}

// Step gives the tar of the image that a workflow's steps run in: bash,
// coreutils, python3, the mariadb client, and the step program given.
func (b Builder) Step(ctx context.Context, program string) (tar string, err error) {
	base, err := b.base(ctx, debian{
		include: []string{"python3", "mariadb-client-core", "ca-certificates"},
		prune:   unusedInContainers(),
	}, "step", "")
	if err != nil {
		return "", fmt.Errorf("image %s: %w", StepName, err)
	}
	return b.save("step", Image{
		Name:   StepName,
		Layers: []Layer{{Tar: base}, {Files: []File{{Path: "/usr/local/bin/step", Mode: 0o755, From: program}}}},
		Cmd:    []string{"bash"},
		Env:    []string{path},
	})
}

// Pause gives the tar of the image with the pause program alone.
func (b Builder) Pause(program string) (tar string, err error) {
	return b.save("pause", Image{
		Name:       PauseName,
		Layers:     []Layer{{Files: []File{{Path: "/pause", Mode: 0o755, From: program}}}},
		Entrypoint: []string{"/pause"},
	})
}

// base gives the tar of a root file system, made first when it is not there.
// The key is what besides the recipe decides its content.
func (b Builder) base(ctx context.Context, d debian, name, key string) (string, error) {
	sum := sha256.Sum256(fmt.Append(nil, debianSuite, d.include, d.prune, alwaysPruned(), key))
	tar := filepath.Join(b.Cache, fmt.Sprintf("rootfs-%s-%s.tar", name, hex.EncodeToString(sum[:6])))
	if _, err := os.Stat(tar); err == nil {
		return tar, nil
	}
	if err := os.MkdirAll(b.Cache, 0o755); err != nil {
		return "", err
	}
	start := time.Now()
	b.Logf("making the root file system of the %s image (kept for the next time)", name)
	if err := d.tar(ctx, b.Cache, tar); err != nil {
		return "", err
	}
	b.Logf("made the root file system of the %s image in %s", name, time.Since(start).Round(time.Second))
	return tar, nil
}

// save writes an image below the cache unless the same is there already.
func (b Builder) save(name string, img Image) (string, error) {
	if err := os.MkdirAll(b.Cache, 0o755); err != nil {
		return "", fmt.Errorf("image %s: %w", img.Name, err)
	}
	sum := sha256.New()
	fmt.Fprintf(sum, "%q %q %q %q %q\n", img.Name, img.Entrypoint, img.Cmd, img.Env, img.WorkDir)
	for _, layer := range img.Layers {
		fmt.Fprintln(sum, layer.Tar) // named after its content
		if err := writeFiles(sum, layer.Files); err != nil {
			return "", fmt.Errorf("image %s: %w", img.Name, err)
		}
	}
	tar := filepath.Join(b.Cache, fmt.Sprintf("%s-%s.tar", name, hex.EncodeToString(sum.Sum(nil)[:6])))
	if _, err := os.Stat(tar); err == nil {
		return tar, nil
	}
	return tar, img.Save(tar)
}

// mysqlSystem is Debian's MariaDB server with a data folder that holds the
// users and tables already, so that a container only has to copy it.
func mysqlSystem(statements string) debian {
	const data = "/usr/share/sqlflow/mysql"
	return debian{
		include: []string{"mariadb-server"},
		setup: func(ctx context.Context, dir string) error {
			conf := filepath.Join(dir, "etc/mysql/mariadb.conf.d/99-playground.cnf")
			if err := os.WriteFile(conf, []byte(read("mysql/server.cnf")), 0o644); err != nil {
				return err
			}
			if err := os.MkdirAll(filepath.Join(dir, data), 0o755); err != nil {
				return err
			}
			if err := inside(ctx, dir, nil, "/usr/bin/mariadb-install-db", "--force", "--skip-name-resolve",
				"--skip-test-db", "--user=root", "--datadir="+data); err != nil {
				return err
			}
			if err := inside(ctx, dir, strings.NewReader(statements), "/usr/sbin/mariadbd", "--bootstrap",
				"--user=root", "--datadir="+data); err != nil {
				return err
			}
			return readable(filepath.Join(dir, data))
		},
		prune: append(unusedInContainers(),
			"var/lib/mysql/*", "usr/lib/galera", "usr/lib/libgalera*", "usr/bin/mariadb-backup", "usr/bin/mariabackup",
			"usr/bin/aria_*", "usr/bin/myisam*", "usr/bin/innochecksum", "usr/bin/mariadb-slap", "usr/bin/mariadb-conv",
			"usr/bin/mariadb-import", "usr/bin/mariadb-plugin", "usr/bin/mariadb-show", "usr/bin/mariadb-tzinfo-to-sql",
			"usr/bin/mariadb-waitpid", "usr/bin/mariadbd-safe-helper", "usr/bin/mariadb-binlog", "usr/bin/replace",
			"usr/bin/mariadb-upgrade", "usr/bin/mariadb-check", "usr/bin/resolve*", "usr/bin/perror",
			"usr/bin/my_print_defaults", "usr/bin/mbstream", data+"/aria_log.*.half",
		),
	}
}

// readable lets every user copy a folder, whoever the container runs as.
func readable(dir string) error {
	return filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() {
			return os.Chmod(path, 0o755)
		}
		return os.Chmod(path, 0o644)
	})
}

// unusedInContainers is Perl, apt and what only a machine that boots needs.
func unusedInContainers() []string {
	return []string{
		"usr/share/perl", "usr/share/perl5", "usr/lib/*/perl", "usr/bin/perl5*", "usr/lib/*/libperl.so*",
		"usr/lib/systemd", "usr/lib/udev", "usr/share/python-wheels", "usr/share/mysql/mysql-test",
	}
}

// initialStatements is what the bootstrap of MariaDB runs, a statement a line.
func initialStatements() (string, error) {
	var sql bytes.Buffer
	sql.WriteString("FLUSH PRIVILEGES;\n" + // the bootstrap starts without grant tables
		"ALTER USER 'root'@'localhost' IDENTIFIED BY 'root';\n" +
		"CREATE USER 'root'@'%' IDENTIFIED BY 'root';\n" +
		"GRANT ALL PRIVILEGES ON *.* TO 'root'@'%' WITH GRANT OPTION;\n" +
		"CREATE DATABASE iris;\n" +
		"CREATE DATABASE sqlflow_models;\n")
	for _, table := range []string{"train", "test"} {
		rows, err := csv.NewReader(strings.NewReader(read("iris/iris_" + table + ".csv"))).ReadAll()
		if err != nil {
			return "", fmt.Errorf("iris.%s: %w", table, err)
		}
		fmt.Fprintf(&sql, "CREATE TABLE iris.%s (sepal_length FLOAT, sepal_width FLOAT, petal_length FLOAT, "+
			"petal_width FLOAT, class INT);\n", table)
		for _, row := range rows[1:] {
			fmt.Fprintf(&sql, "INSERT INTO iris.%s VALUES (%s);\n", table, strings.Join(row, ", "))
		}
	}
	return sql.String(), nil
}

// read gives an embedded file, which is there since the build embedded it.
func read(name string) string {
	body, err := files.ReadFile(name)
	if err != nil {
		panic(err)
	}
	return string(body)
}
