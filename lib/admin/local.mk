# Every .c and .h of this folder, one a line.
libcarpool_a_SOURCES += \
	lib/admin/access_log.c \
	lib/admin/access_log.h \
	lib/admin/account.c \
	lib/admin/account.h \
	lib/admin/advice.c \
	lib/admin/advice.h \
	lib/admin/agents.c \
	lib/admin/agents.h \
	lib/admin/answer.c \
	lib/admin/answer.h \
	lib/admin/callers.c \
	lib/admin/callers.h \
	lib/admin/connections.c \
	lib/admin/connections.h \
	lib/admin/diagnosis.c \
	lib/admin/diagnosis.h \
	lib/admin/diagnosis_input.c \
	lib/admin/diagnosis_input.h \
	lib/admin/diagnosis_rules.c \
	lib/admin/diagnosis_rules.h \
	lib/admin/diagnosis_rules_failures.c \
	lib/admin/explanation.c \
	lib/admin/explanation.h \
	lib/admin/explanation_reasons.c \
	lib/admin/guard.c \
	lib/admin/guard.h \
	lib/admin/held.c \
	lib/admin/held.h \
	lib/admin/history.c \
	lib/admin/history.h \
	lib/admin/history_write.c \
	lib/admin/load.c \
	lib/admin/load.h \
	lib/admin/metrics.c \
	lib/admin/metrics.h \
	lib/admin/metrics_agents.c \
	lib/admin/overview.c \
	lib/admin/overview.h \
	lib/admin/page.c \
	lib/admin/page.h \
	lib/admin/past.c \
	lib/admin/past.h \
	lib/admin/process.c \
	lib/admin/process.h \
	lib/admin/recent_errors.c \
	lib/admin/recent_errors.h \
	lib/admin/request.c \
	lib/admin/request.h \
	lib/admin/routes.c \
	lib/admin/routes.h \
	lib/admin/server.c \
	lib/admin/server.h \
	lib/admin/span.c \
	lib/admin/span.h \
	lib/admin/system_store.c \
	lib/admin/system_store.h \
	lib/admin/tenure.c \
	lib/admin/tenure.h \
	lib/admin/text.c \
	lib/admin/text.h \
	lib/admin/track.c \
	lib/admin/track.h \
	lib/admin/traffic.c \
	lib/admin/traffic.h \
	lib/admin/words.c \
	lib/admin/words.h

page_parts = lib/admin/page.html lib/admin/page.css lib/admin/page_history.js lib/admin/page_plot.js lib/admin/page.js
nodist_libcarpool_a_SOURCES = lib/admin/page_html.c
EXTRA_DIST += $(page_parts)
CLEANFILES += lib/admin/page_html.c

# A string of C out of the page: one literal a line. A line @FILE@ stands for that file of this folder.
lib/admin/page_html.c: $(page_parts)
	$(AM_V_GEN)$(MKDIR_P) $(@D) && { \
		echo '#include "admin/page.h"'; \
		echo 'const char page_html[] ='; \
		$(AWK) -v folder=$(srcdir)/lib/admin/ ' \
			/^@.*@$$/ { file = folder substr($$0, 2, length($$0) - 2); while ((getline line <file) > 0) print line; next } \
			{ print }' $(srcdir)/lib/admin/page.html | \
			$(SED) -e 's/\\/\\\\/g' -e 's/"/\\"/g' -e 's/^/    "/' -e 's/$$/\\n"/'; \
		echo '    ;'; \
	} >$@.tmp && mv $@.tmp $@
