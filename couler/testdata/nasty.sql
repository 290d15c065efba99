SELECT 'it''s', "a ""quoted"" \"name\"", `back``tick` FROM t WHERE a = '\\' -- "not the end
;
SELECT '{{workflow.name}} {{=1+1}} {{', '}}', '$(params.x) $(date) $$ $HOME ${HOME} `date`' FROM t;
SELECT '$$(params.x) $(HOSTNAME) %s \n \t !! # ; TO TRAIN x' FROM t;
SELECT '中文 ünï 😀' /* a comment; with $(a) and {{ b }} */ FROM `表`;
SELECT 'cr
 tab	 esc  bell  del  nbsp   line  ' FROM t;
SELECT 'first

   indented   
	last
' FROM t
