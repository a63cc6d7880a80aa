# Where lazydisk is put on a host. Part of the Makefile.
#
#   make install      into PREFIX (/usr/local), below DESTDIR if that is said; again after an upgrade
#   make uninstall    what it has put there, with the same words; state and caches of mounts stay
#   make deb          a Debian package of this version, in .cache/deb
#
# The programs begin with the absolute path of the node that runs the installation (LAZYDISK_NODE: of another one), since
# mount(8) and systemd have no PATH to it. mount(8) looks for its helper in /sbin only, whatever PREFIX is; HELPER_DIR= (empty)
# leaves it out, for those who may not write there.

PREFIX ?= /usr/local
DESTDIR ?=
HELPER_DIR ?= /sbin
UNIT_DIR ?= $(PREFIX)/lib/systemd/system
BASH_COMPLETION_DIR ?= $(PREFIX)/share/bash-completion/completions
ZSH_COMPLETION_DIR ?= $(PREFIX)/share/zsh/site-functions
LIB_DIR := $(PREFIX)/lib/lazydisk
UNITS := $(notdir $(wildcard mount/install/systemd/*.service))
.PHONY: install uninstall deb

# What they do is said by them, not by the lines that do it.
.SILENT: install uninstall deb

install: build
	node mount/install/stage.js '$(DESTDIR)$(LIB_DIR)'
	install -d '$(DESTDIR)$(PREFIX)/bin'
	ln -sfn ../lib/lazydisk/dist/mount/cli/main.js '$(DESTDIR)$(PREFIX)/bin/lazydisk'
	if [ -n '$(HELPER_DIR)' ]; then \
	  install -d '$(DESTDIR)$(HELPER_DIR)'; \
	  ln -sfn '$(LIB_DIR)/dist/mount/cli/mount-helper-main.js' '$(DESTDIR)$(HELPER_DIR)/mount.lazydisk'; \
	fi
	for page in lazydisk mount.lazydisk; do \
	  install -D -m 644 dist/share/man/man8/$$page.8 '$(DESTDIR)$(PREFIX)/share/man/man8/'$$page.8; \
	done
	install -D -m 644 dist/share/bash-completion/completions/lazydisk '$(DESTDIR)$(BASH_COMPLETION_DIR)/lazydisk'
	install -D -m 644 dist/share/zsh/site-functions/_lazydisk '$(DESTDIR)$(ZSH_COMPLETION_DIR)/_lazydisk'
	for unit in $(UNITS); do \
	  install -d '$(DESTDIR)$(UNIT_DIR)'; \
	  sed 's|@PREFIX@|$(PREFIX)|g' mount/install/systemd/$$unit >'$(DESTDIR)$(UNIT_DIR)/'$$unit; \
	done
	[ -n '$(DESTDIR)' ] || echo 'Installed $(PREFIX)/bin/lazydisk; mounts that live go on with it after `lazydisk restart MOUNTPOINT`.'

uninstall:
	rm -rf '$(DESTDIR)$(LIB_DIR)'
	rm -f '$(DESTDIR)$(PREFIX)/bin/lazydisk'
	[ -z '$(HELPER_DIR)' ] || rm -f '$(DESTDIR)$(HELPER_DIR)/mount.lazydisk'
	rm -f '$(DESTDIR)$(PREFIX)/share/man/man8/lazydisk.8' '$(DESTDIR)$(PREFIX)/share/man/man8/mount.lazydisk.8'
	rm -f '$(DESTDIR)$(BASH_COMPLETION_DIR)/lazydisk' '$(DESTDIR)$(ZSH_COMPLETION_DIR)/_lazydisk'
	for unit in $(UNITS); do rm -f '$(DESTDIR)$(UNIT_DIR)/'$$unit; done

deb: build
	mount/install/build-deb.sh
